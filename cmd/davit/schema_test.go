package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/davit-sh/davit/sdk/protocol"
)

var update = flag.Bool("update", false, "write docs/reference again")

// The reference pages say what the plugins describe.
func TestReferencePagesAreUpToDate(t *testing.T) {
	for name, plugin := range builtins {
		var b bytes.Buffer
		writeReference(&b, protocol.Describe(plugin("")))
		path := filepath.Join("..", "..", "docs", "reference", name+".md")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, b.Bytes()) {
			t.Errorf("%s is not what plugin %s describes (%v): run go test ./cmd/davit -update", path, name, err)
		}
	}
}
