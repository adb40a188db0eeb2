package session_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/state"
)

// stack writes a stack's files and returns its folder.
func stack(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func process(t *testing.T) *session.Process {
	t.Helper()
	return &session.Process{Version: "1.2.3", CacheDir: t.TempDir(), Environ: []string{"DAVIT_VAR_from=first", "DAVIT_VAR_from=environment"}}
}

// Two stacks are open in one process at the same time, none of them in the working directory: files, variables and state are found by the
// stack's own folder.
func TestTwoStacksInOneProcess(t *testing.T) {
	p := process(t)
	const main = `
variable "name" {}
variable "from" { default = "" }
output "text" { value = "${var.name} ${file("own.txt")} ${var.from}" }
`
	for _, name := range []string{"one", "two"} {
		dir := stack(t, map[string]string{"davit.hcl": main, "a.auto.hclvars": `name = "` + name + `"`, "own.txt": "file of " + name})
		s, err := p.Open(t.Context(), &session.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		lease, err := s.Lock(t.Context(), state.Holder{Who: name}, 0, func(time.Duration, error) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = lease.Release(context.Background()) }) // the folder goes away with it
		made, err := s.Plan(t.Context(), engine.Options{}, gate.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(made.Outputs[0].Value), `"`+name+" file of "+name+` environment"`; got != want {
			t.Errorf("the output is %s, want %s", got, want)
		}
		if _, diags := s.Engine.Apply(t.Context(), made, engine.ApplyOptions{Store: s.Store, Lease: lease, Who: name}); diags.HasErrors() {
			t.Fatal(diags)
		}
		if _, err := os.Stat(filepath.Join(dir, ".davit", "state.db")); err != nil {
			t.Error(err)
		}
	}
}

// What is wrong with a stack comes as a Problem, with the stack whose files it is about.
func TestAProblemHasItsStack(t *testing.T) {
	dir := stack(t, map[string]string{"davit.hcl": `variable "name" { type = string }`})
	_, err := process(t).Open(t.Context(), &session.Options{Dir: dir})
	var problem *session.Problem
	if !errors.As(err, &problem) {
		t.Fatalf("the error is %v", err)
	}
	if problem.Stack == nil || problem.Stack.Dir != dir || !strings.Contains(problem.Error(), "name") {
		t.Errorf("the problem is %v", problem)
	}
}
