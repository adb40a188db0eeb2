package server_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/server"
)

var update = flag.Bool("update", false, "write the table of endpoints into docs/api.md")

// The table of endpoints in docs/api.md is that of the server.
func TestTheAPIPageHasAllEndpoints(t *testing.T) {
	const page, mark = "../../docs/api.md", "<!-- endpoints -->"
	var b strings.Builder
	b.WriteString(mark + "\n| endpoint | verb | |\n|---|---|---|\n")
	for _, row := range server.Rows() {
		verb := "anybody"
		if row.Verb != "" {
			verb = "`" + row.Verb + "`"
		}
		fmt.Fprintf(&b, "| `%s %s` | %s | %s |\n", row.Method, row.Path, verb, row.Summary)
	}
	b.WriteString(mark + "\n")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), mark)
	if _, after, closed := strings.Cut(rest, mark+"\n"); closed {
		rest = after
	}
	want := before + b.String() + strings.TrimPrefix(rest, "\n")
	if !strings.HasPrefix(strings.TrimPrefix(rest, "\n"), "\n") {
		want = before + b.String() + "\n" + strings.TrimLeft(rest, "\n")
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if string(text) != want && !*update {
		t.Errorf("%s is not up to date: run go test ./core/server -run APIPage -update", page)
	}
}
