package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The page of verbs and flags is made of the verbs themselves.
func TestTheCommandPageIsUpToDate(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Commands\n\nFlags may be written with one dash or two. Exit codes: 0 all went well, 1 an error, 2 there are changes (`plan -detailed-exitcode`),\n" +
		"3 a file is not in the usual form (`fmt -check`), 130 interrupted at a question. The first interrupt starts nothing new and lets running work finish;\n" +
		"the second one stops now. At a question the first interrupt ends the command: nothing was changed, and the lock is released.\n")
	root := newRoot(&app{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	b.WriteString("\nEvery command takes:\n\n")
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { writeFlag(&b, f) })
	writeVerbs(&b, root)
	page := filepath.Join("..", "..", "docs", "commands.md")
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(page, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != b.String() {
		t.Errorf("docs/commands.md is not what the commands say (%v): run go test ./cmd/davit -run CommandPage -update", err)
	}
}

func writeVerbs(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Runnable() {
			fmt.Fprintf(b, "\n## %s\n\n%s.\n", c.UseLine(), strings.TrimSuffix(c.Short, "."))
			if c.Long != "" {
				fmt.Fprintf(b, "\n%s\n", indented(c.Long))
			}
			flags := false
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Hidden || f.Name == "help" {
					return
				}
				if !flags {
					b.WriteString("\n")
					flags = true
				}
				writeFlag(b, f)
			})
		}
		writeVerbs(b, c)
	}
}

func writeFlag(b *strings.Builder, f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	if name != "" {
		name = "=" + strings.ToUpper(name)
	}
	fmt.Fprintf(b, "- `-%s%s`: %s\n", f.Name, name, usage)
}

// indented makes Markdown of a long text: its examples, which begin with two blanks, are code.
func indented(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "  ") {
			lines[i] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}
