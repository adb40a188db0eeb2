package tree

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

// Known finds a tree in the cache by a name that Remember gave it, such as the id of the Git tree that
// it was made from. The name is a slash-separated path of the plugin's own: "git/trees/4b825d...".
func Known(cacheDir, name string) (sdk.Tree, bool) {
	b, err := os.ReadFile(filepath.Join(cacheDir, filepath.FromSlash(name)))
	if err != nil {
		return sdk.Tree{}, false
	}
	return Lookup(cacheDir, strings.TrimSpace(string(b)))
}

// Remember notes which tree of the cache a name stands for, so that the same content is not fetched
// or listed twice. The name must never stand for another content.
func Remember(cacheDir, name string, t sdk.Tree) error {
	note := filepath.Join(cacheDir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(note), 0o700); err != nil {
		return err
	}
	return os.WriteFile(note, []byte(t.Digest), 0o600)
}
