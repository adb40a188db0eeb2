package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
)

// What is said of a diagnostic cannot move the cursor of a terminal and is no command to a CI system, whichever part of it
// comes from a repository, a chart or a plugin.
func TestDiagnosticsAreCleaned(t *testing.T) {
	var out bytes.Buffer
	a := &app{err: &out}
	source := "a = \"\x1b[2J\u202e\"\n\x1b]0;title\x07 = 1\n"
	at := hcl.Range{Filename: "evil.hcl", Start: hcl.Pos{Line: 2, Column: 1, Byte: strings.Index(source, "\x1b]")}, End: hcl.Pos{Line: 2, Column: 4, Byte: strings.Index(source, "\x1b]") + 3}}
	d := diag.Errorf(at, "bad\r\x1b[1A\nname", "template failed:\n::error file=x::planted\n  ##vso[task.setvariable variable=a]b\n##[group]c\u202e\x08")
	d.Extra = diag.Info{Hint: "::warning::hint"}
	warning := diag.AsWarnings(hcl.Diagnostics{diag.Plain("::stop-commands::x", "")})[0]
	err := a.write(map[string]*hcl.File{"evil.hcl": {Bytes: []byte(source)}}, hcl.Diagnostics{d, warning})
	if err == nil {
		t.Error("an error is no error")
	}
	a.compactWarnings = true
	_ = a.write(nil, hcl.Diagnostics{warning})
	said := out.String()
	for _, bad := range []string{"\x1b", "\r", "\x08", "\x07", "\u202e", "##vso[", "##[", "\n::"} {
		if strings.Contains(said, bad) {
			t.Errorf("%q is printed:\n%q", bad, said)
		}
	}
	for _, good := range []string{"template failed:\n", "planted", "evil.hcl line 2", "hint"} {
		if !strings.Contains(said, good) {
			t.Errorf("%q is not printed:\n%s", good, said)
		}
	}
}

// An error that is no diagnostic is cleaned as well.
func TestErrorsAreCleaned(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"show", "\x1b[2J\n::error::x\u202e"}, strings.NewReader(""), &out, &errs); code != exitError {
		t.Errorf("exit code %d", code)
	}
	if said := errs.String(); strings.ContainsAny(said, "\x1b\u202e") || strings.Contains(said, "\n::") || !strings.Contains(said, "no such file") {
		t.Errorf("%q", said)
	}
}
