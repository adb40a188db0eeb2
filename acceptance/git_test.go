package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A private repository in Gitea, over HTTP with a token and over SSH with a read-only deploy key.
func TestGitOverHTTPAndSSH(t *testing.T) {
	repo, err := servers.Gitea.CreateRepository(t.Context(), "git-"+time.Now().Format("150405"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := repo.AddDeployKey(t.Context(), "davit", true)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t)
	clone := filepath.Join(w.dir, "clone")
	w.write("clone/deploy/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndata: { a: one }\n")
	w.git(clone, "init", "-q")
	w.git(clone, "add", "-A")
	w.git(clone, "commit", "-q", "-m", "First")
	w.git(clone, "push", "-q", repo.TokenURL, "HEAD:main")

	stack := func(url, access string) string {
		return `
variable "token" {
  default   = null
  sensitive = true
}
source "git" "x" {
  url = "` + url + `"
` + access + `
}
application "manifests" "x" {
  source    = source.git.x
  path      = "deploy"
  directory = "out"
}
output "subject" { value = source.git.x.subject }
`
	}
	ssh := `  ssh_key = "` + key + `"
  known_hosts = "` + servers.Gitea.KnownHostsFile + `"`

	w.write("davit.hcl", stack(repo.SSHURL, ssh))
	wants(t, "the plan over SSH", w.must("plan").stdout, "ConfigMap x", `subject: "First"`)
	w.must("apply", "-auto-approve")

	w.setenv("DAVIT_VAR_token", servers.Gitea.Token)
	w.write("davit.hcl", stack(repo.CloneURL, "  token = var.token"))
	wants(t, "the plan over HTTP", w.must("plan", "-out=p.davit").stdout, "No changes.")
	for _, file := range []string{"p.davit", ".davit/state.db"} {
		b, err := os.ReadFile(filepath.Join(w.dir, file))
		if err != nil || strings.Contains(string(b), servers.Gitea.Token) {
			t.Errorf("%s holds the token (%v)", file, err)
		}
	}

	w.write("clone/deploy/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndata: { a: two }\n")
	w.git(clone, "commit", "-q", "-am", "Second")
	w.git(clone, "push", "-q", repo.TokenURL, "HEAD:main")
	wants(t, "the plan of a new push", w.must("plan").stdout, "Second", `~ data.a: "one" -> "two"`)

	w.setenv("DAVIT_VAR_token", "not-the-token")
	r := w.davit("plan")
	if r.code != 1 || strings.Contains(r.stderr, "not-the-token") {
		t.Fatalf("a wrong token: exit %d\n%s", r.code, r.stderr)
	}
	wants(t, "the error of a wrong token", r.stderr, "source.git.x", "refused the credentials", "DAVIT_GIT_TOKEN")

	empty := filepath.Join(w.dir, "known_hosts")
	w.write("known_hosts", "")
	w.write("davit.hcl", stack(repo.SSHURL, strings.Replace(ssh, servers.Gitea.KnownHostsFile, empty, 1)))
	r = w.davit("plan")
	if r.code != 1 {
		t.Fatalf("an unknown host: exit %d\n%s", r.code, r.stdout)
	}
	wants(t, "the error of an unknown host", r.stderr, "source.git.x", "host key", "ssh-keyscan")
}
