//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

const questionStack = `davit {
  required_plugins {
    test = { source = "./plugins/testplugin" }
  }
}
application "file" "a" {
  path    = "a.txt"
  content = "a"
}
output "greeting" { value = "hello" }
`

// Ctrl-C at a question ends davit at once with exit code 130, and the lock is released.
func TestInterruptAtAQuestion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ verb, before, question string }{
		{"apply", "", "Do you want to apply this?"},
		{"destroy", "apply", "Do you want to destroy this?"},
		{"refresh", "apply", "Do you want to write this to state?"},
	} {
		t.Run(c.verb, func(t *testing.T) {
			t.Parallel()
			dir := newQuestionStack(t)
			if c.before != "" {
				mustRun(t, davitIn(t, dir, c.before, "-auto-approve"))
			}
			if c.verb == "refresh" { // finds that it is gone
				if err := os.Remove(filepath.Join(dir, "a.txt")); err != nil {
					t.Fatal(err)
				}
			}
			got, code := onTerminal(t, davitIn(t, dir, c.verb), "\x03")
			if code != exitInterrupted || !strings.Contains(got, c.question) || !strings.Contains(got, "interrupted before the question was answered; nothing was changed") {
				t.Errorf("exit code %d:\n%s", code, got)
			}
			if strings.Contains(got, "running work may finish") {
				t.Errorf("nothing runs at a question:\n%s", got)
			}
			mustRun(t, davitIn(t, dir, "apply", "-auto-approve")) // the lock was released
		})
	}
}

// The answer "yes" on a terminal applies the plan; the end of input does not.
func TestAnswersOnATerminal(t *testing.T) {
	t.Parallel()
	dir := newQuestionStack(t)
	if got, code := onTerminal(t, davitIn(t, dir, "apply"), "\x04"); code != exitError || !strings.Contains(got, "input ended without an answer") {
		t.Errorf("exit code %d:\n%s", code, got)
	}
	if got, code := onTerminal(t, davitIn(t, dir, "apply"), "yes\n"); code != exitOK || !strings.Contains(got, `greeting = "hello"`) {
		t.Errorf("exit code %d:\n%s", code, got)
	}
}

func newQuestionStack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	plugin, err := exec.LookPath("testplugin")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(plugin, filepath.Join(dir, "plugins", "testplugin")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "davit.hcl"), []byte(questionStack), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, davitIn(t, dir, "init"))
	return dir
}

func mustRun(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

func davitIn(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "davit", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "DAVIT_CACHE_DIR="+filepath.Join(dir, ".cache"), "TERM=xterm", "NO_COLOR=1")
	return cmd
}

// onTerminal runs a command on a terminal of its own, types keys at its question, and returns what the terminal shows and
// the exit code.
func onTerminal(t *testing.T, cmd *exec.Cmd, keys string) (string, int) {
	t.Helper()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var shown bytes.Buffer
	for typed, b := false, make([]byte, 4096); ; {
		n, err := terminal.Read(b)
		shown.Write(b[:n])
		if err != nil { // the command has ended
			break
		}
		if !typed && strings.Contains(shown.String(), "is accepted: ") {
			typed = true
			if _, err := terminal.WriteString(keys); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return shown.String(), cmd.ProcessState.ExitCode()
}

// On a terminal, planning shows a status line while it looks at the world; the plan then says how to go on.
func TestPlanningIsSeenOnATerminal(t *testing.T) {
	t.Parallel()
	dir := newQuestionStack(t)
	slow := strings.Replace(questionStack, `content = "a"`, "content = \"a\"\n  fault   = \"plan-slow\"", 1)
	if err := os.WriteFile(filepath.Join(dir, "davit.hcl"), []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	got, code := onTerminal(t, davitIn(t, dir, "plan"), "")
	if code != exitOK || !strings.Contains(got, "\rPlanning: ") || !strings.Contains(got, "Next: davit apply.") {
		t.Errorf("exit code %d:\n%q", code, got)
	}
}
