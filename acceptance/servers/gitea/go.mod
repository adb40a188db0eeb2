// The version of Gitea under test. It is built as its own main module, from a
// copy, with the dependencies its authors pinned: nothing here imports it, so
// do not run go mod tidy, but go mod download code.gitea.io/gitea.
module github.com/davit-sh/davit/acceptance/servers/gitea

go 1.26.2

require code.gitea.io/gitea v1.26.0
