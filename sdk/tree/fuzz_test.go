package tree

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever a repository or an archive names its files: entries that pass the check stay in the folder, are named once, and
// links lead to entries of the same tree. A line is an entry: "path", or "path -> target" for a link.
func FuzzCheck(f *testing.F) {
	f.Add("a/b\nc")
	f.Add("a\na/b")
	f.Add("../x")
	f.Add("a\nl -> a\nm -> ../x")
	f.Add("/etc/passwd\n.git/config\na\\b\nA\na")
	f.Add("l -> l\nd/m -> ..")
	f.Fuzz(func(t *testing.T, text string) {
		var entries []Entry
		links := 0
		for line := range strings.SplitSeq(text, "\n") {
			path, target, isLink := strings.Cut(line, " -> ")
			e := Entry{Path: path, Mode: 0o644}
			if isLink {
				e.Mode, e.Link = fs.ModeSymlink, target
				links++
			}
			entries = append(entries, e)
		}
		if check(entries) != nil {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if !filepath.IsLocal(filepath.FromSlash(e.Path)) || seen[e.Path] {
				t.Errorf("%q passes", e.Path)
			}
			seen[e.Path] = true
			// With several links the target may go through another one; then it is not what its text says.
			if e.Link != "" && links == 1 && !filepath.IsLocal(filepath.Join(filepath.Dir(filepath.FromSlash(e.Path)), filepath.FromSlash(e.Link))) {
				t.Errorf("%q leads to %q", e.Path, e.Link)
			}
		}
	})
}
