package scaffold_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/scaffold"
)

var reReadmeBlock = regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$")

// The stack that the README of a beginning shows is one, and requires the program that the README has built.
func TestTheReadmeShowsAStack(t *testing.T) {
	for _, kind := range scaffold.Kinds() {
		dir := filepath.Join(t.TempDir(), "plugin")
		if _, err := scaffold.Write(scaffold.Options{Dir: dir, Name: "my-" + kind, Kind: kind, Module: "example.com/davit-it", Version: "v0.1.0"}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		blocks := reReadmeBlock.FindAllSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s: the README has no block of HCL", kind)
		}
		for _, b := range blocks {
			stack, diags := config.Parse(dir, map[string][]byte{"davit.hcl": b[1]})
			if diags.HasErrors() {
				t.Errorf("%s: %v\n%s", kind, diags, b[1])
				continue
			}
			if p := stack.Settings.Plugins["my-"+kind]; p == nil || p.Source != "./davit-it" {
				t.Errorf("%s: the README requires %+v", kind, p)
			}
		}
	}
}
