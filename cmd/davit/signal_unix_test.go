//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/state/statetest"
)

// tooLarge is the error of for expressions that reach their bound.
const tooLarge = "A for expression is too large"

// endless is an expression that takes an hour. Begun with atApply it is known only when the replaced a.txt is written.
func endless(begin string) string {
	return `length([for a in range(` + begin + `) : [for b in range(999) : sha512("${a} ${b} ${join(",", range(1000))}")]])`
}

const (
	atOnce  = "1000"
	atApply = "length(application.file.a.sum) * 125"
)

const signalHead = `davit {
  required_plugins {
    test = { source = "./plugins/testplugin" }
  }
}
`

const signalApplication = `application "file" "a" {
  path    = "a.txt"
  content = "a"
}
`

// TestInterruptedEvaluations: the first signal ends an evaluation wherever it stands, and the lock is released.
func TestInterruptedEvaluations(t *testing.T) {
	t.Parallel()
	nested := "1"
	for i := range 9 {
		nested = fmt.Sprintf("[for x%d in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] : %s]", i, nested)
	}
	variable := func(rest string) string { return "variable \"v\" {\n" + rest + "\n}\noutput \"o\" { value = var.v }\n" }
	var mu sync.Mutex
	count, slowest := 0, time.Duration(0)
	t.Run("places", func(t *testing.T) {
		for _, c := range []struct {
			name, text, command, input string
			nested                     bool
		}{
			{"a local", "locals { x = " + endless(atOnce) + " }\noutput \"o\" { value = local.x }\n", "validate", "", false},
			{"an output", "output \"o\" { value = " + endless(atOnce) + " }\n", "plan", "", false},
			{"a chain of locals", "locals {\n  x = " + endless(atOnce) + "\n  y = local.x + 1\n}\noutput \"o\" { value = local.y }\n", "plan", "", false},
			{"a default", variable("default = " + nested), "plan", "", true},
			{"a validation", variable("default = 1\n  validation {\n    condition = var.v < " + endless(atOnce) + "\n    error_message = \"no\"\n  }"), "validate", "", false},
			{"-var", variable("type = list(any)"), "plan -var v=" + strings.ReplaceAll(nested, " ", "\t"), "", true},
			{"a module's input", "module \"m\" {\n  source = \"./m\"\n  v = " + endless(atOnce) + "\n}\noutput \"o\" { value = module.m.o }\n", "plan", "", false},
			{"for_each", "application \"file\" \"b\" {\n  for_each = toset([tostring(" + endless(atOnce) + ")])\n  path = each.key\n  content = \"b\"\n}\n", "plan", "", false},
			{"an argument", "application \"file\" \"b\" {\n  path = \"b.txt\"\n  content = tostring(" + endless(atOnce) + ")\n}\n", "plan", "", false},
			{"a trigger", signalApplication + "application \"file\" \"b\" {\n  path = \"b.txt\"\n  content = \"b\"\n  lifecycle { replace_triggered_by = [\"${application.file.a.sum} ${" + endless(atOnce) + "}\"] }\n}\n", "validate", "", false},
			{"a precondition", "application \"file\" \"b\" {\n  path = \"b.txt\"\n  content = \"b\"\n  lifecycle {\n    precondition {\n      condition = 0 < " + endless(atOnce) + "\n      error_message = \"no\"\n    }\n  }\n}\n", "plan", "", false},
			{"a check", "check \"c\" {\n  assert {\n    condition = 0 < " + endless(atOnce) + "\n    error_message = \"no\"\n  }\n}\n", "validate", "", false},
			{"the console", "locals { x = 1 }\n", "console", endless(atOnce) + "\n", false},
			{"a local in the console", signalApplication + "locals { x = " + endless(atApply) + " }\n", "console", "local.x\n", false},
			{"an argument at apply", signalApplication + "application \"file\" \"b\" {\n  path = \"b.txt\"\n  content = tostring(" + endless(atApply) + ")\n}\n", "apply -auto-approve -replace=application.file.a", "", false},
			{"an output at apply", signalApplication + "output \"o\" { value = " + endless(atApply) + " }\n", "apply -auto-approve -replace=application.file.a", "", false},
			{"a notification at apply", signalApplication + "notification \"log\" \"n\" {\n  on = [\"applied\"]\n  path = \"log.txt\"\n  text = tostring(" + endless(atApply) + ")\n}\n", "apply -auto-approve", "", false},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				dir := newSignalStack(t, signalHead+c.text)
				begun := func() bool { return true }
				file := filepath.Join(dir, "a.txt")
				if strings.Contains(c.text, atApply) && !strings.Contains(c.text, "notification") { // the application is in state first
					write(t, dir, signalHead+signalApplication)
					mustRun(t, davitIn(t, dir, "apply", "-auto-approve"))
					write(t, dir, signalHead+c.text)
				}
				if strings.HasPrefix(c.command, "apply") {
					before := changedAt(file)
					begun = func() bool { return exists(file) && changedAt(file) != before }
				}
				cmd := davitIn(t, dir, strings.Split(c.command, " ")...)
				if c.input != "" {
					cmd.Stdin = strings.NewReader(c.input)
				}
				took, out := interrupt(t, cmd, begun)
				if c.nested && strings.Contains(out, tooLarge) {
					return // a fast machine comes to the bound of for expressions before the signal
				}
				if !strings.Contains(out, "Interrupted") || !strings.Contains(out, "The evaluation of this expression was ended because the run was stopped") {
					t.Errorf("it says\n%s", out)
				}
				mu.Lock()
				count, slowest = count+1, max(slowest, took)
				mu.Unlock()
				mustRun(t, davitIn(t, dir, "state", "list")) // the lock is free
				write(t, dir, signalHead+signalApplication)
				mustRun(t, davitIn(t, dir, "apply", "-auto-approve"))
			})
		}
	})
	statetest.Numbers(t, "interrupted evaluations: %d places, the slowest ended %s after the first signal", count, slowest.Round(10*time.Millisecond))
}

// TestInterruptedWaiting: the first signal ends davit while it waits for a lock, for state or for a line.
func TestInterruptedWaiting(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	s3 := signalHead[:strings.LastIndex(signalHead, "}")] + "  state \"s3\" {\n    bucket = \"b\"\n    key = \"k\"\n    endpoint = \"" + silent.URL + "\"\n    path_style = true\n  }\n}\n" + signalApplication
	for _, verb := range []string{"plan", "apply -auto-approve", "state list", "history application.file.a", "console", "output", "destroy -auto-approve"} {
		t.Run("a server of state: "+verb, func(t *testing.T) {
			t.Parallel()
			dir := newSignalStack(t, s3)
			if err := os.RemoveAll(filepath.Join(dir, ".davit")); err != nil { // where the state was
				t.Fatal(err)
			}
			cmd := davitIn(t, dir, strings.Split(verb, " ")...)
			cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_EC2_METADATA_DISABLED=true")
			interrupt(t, cmd, func() bool { return true })
		})
	}
	t.Run("a lock", func(t *testing.T) {
		t.Parallel()
		dir := newSignalStack(t, signalHead+strings.Replace(signalApplication, "content", "fault = \"apply-gate\"\n  content", 1))
		first := davitIn(t, dir, "apply", "-auto-approve")
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return exists(filepath.Join(dir, "a.txt.begun")) })
		for _, verb := range []string{"apply -auto-approve -lock-timeout=10m", "destroy -auto-approve -lock-timeout=10m"} {
			interrupt(t, davitIn(t, dir, strings.Split(verb, " ")...), func() bool { return true })
		}
		if err := os.WriteFile(filepath.Join(dir, "a.txt.open"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := first.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a line of the console", func(t *testing.T) {
		t.Parallel()
		dir := newSignalStack(t, signalHead)
		cmd := davitIn(t, dir, "console")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		interrupt(t, cmd, func() bool { return true })
	})
}

func newSignalStack(t *testing.T, text string) string {
	t.Helper()
	dir := newQuestionStack(t)
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{"davit.hcl": text, "m/m.hcl": "variable \"v\" {}\noutput \"o\" { value = var.v }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// interrupt runs davit and interrupts it once, a while after it has begun. It returns how long davit took to end then, and what it said.
// davit must not end by itself before.
func interrupt(t *testing.T, cmd *exec.Cmd, begun func() bool) (time.Duration, string) {
	t.Helper()
	var out said
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waitFor(t, begun)
	select {
	case err := <-ended:
		if strings.Contains(out.String(), tooLarge) {
			return 0, out.String()
		}
		t.Fatalf("%v ended by itself: %v\n%s", cmd.Args, err, &out)
	case <-time.After(2 * time.Second):
	}
	signalled := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil && !strings.Contains(cmd.String(), "apply") {
			t.Errorf("%v was interrupted, and its exit code is 0:\n%s", cmd.Args, &out)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%v did not end a minute after the signal:\n%s", cmd.Args, &out)
	}
	return time.Since(signalled), out.String()
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "davit.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// changedAt returns when a file was written last, zero if it is not there.
func changedAt(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not begin within a minute")
		}
	}
}
