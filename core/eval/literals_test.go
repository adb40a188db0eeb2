package eval_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/davit-sh/davit/core/eval"
)

// A local without references is evaluated once for all scopes of a run, and again after Forget. What failed is not kept.
func TestLiteralsAreOfOneRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := load(t, dir, "locals {\n  text = file(\"${path.module}/f.txt\")\n}\noutput \"o\" {\n  value = local.text\n}\n")
	literals := &eval.Literals{}
	newScope := func() *eval.Scope {
		s := eval.NewScope(m, nil, nil)
		s.ShareLiterals(literals)
		return s
	}
	if _, diags := newScope().Output("o"); !diags.HasErrors() {
		t.Fatal("there is no file yet")
	}
	read := func(s *eval.Scope, want string) {
		t.Helper()
		if v, diags := s.Output("o"); diags.HasErrors() || v.AsString() != want {
			t.Errorf("got %#v, %v; want %q", v, diags, want)
		}
	}
	write("one")
	read(newScope(), "one")
	write("two")
	other := newScope()
	read(other, "one")
	other.Forget()
	read(other, "two")
	read(newScope(), "two")
}
