package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/davit-sh/davit/core/pluginhost"
)

// The built-in plugins, and one that misbehaves, go through "davit plugin test" as a person would run it.
func TestPluginScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "plugin"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("DAVIT_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("GIT_AUTHOR_NAME", "Script")
			e.Setenv("GIT_AUTHOR_EMAIL", "script@example.com")
			e.Setenv("GIT_COMMITTER_NAME", "Script")
			e.Setenv("GIT_COMMITTER_EMAIL", "script@example.com")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry":    startRegistry,
			"plugin":      linkPlugin,
			"commit":      commit,
			"image":       pushImage,
			"debug":       startDebugged,
			"alive":       alive,
			"end":         endDebugged,
			"nothingleft": nothingLeft,
			"interrupted": interrupted,
			"valid":       valid,
		},
	})
}

// image REPOSITORY:TAG pushes a small image.
func pushImage(ts *testscript.TestScript, _ bool, args []string) {
	ref, err := name.ParseReference(ts.Getenv("REGISTRY") + "/" + args[0])
	ts.Check(err)
	img, err := random.Image(64, 1)
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

// debug COMMAND... starts a plugin that stays, and sets $DAVIT_REATTACH to what it prints and $PLUGIN_PID to its process.
func startDebugged(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "DAVIT_CACHE_DIR="+ts.Getenv("DAVIT_CACHE_DIR"))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	s := bufio.NewScanner(out)
	for s.Scan() {
		if text, ok := strings.CutPrefix(strings.TrimSpace(s.Text()), "export DAVIT_REATTACH="); ok {
			text = strings.Trim(text, "'")
			ts.Setenv("DAVIT_REATTACH", text)
			where, err := pluginhost.ParseReattach(text)
			ts.Check(err)
			for _, w := range where {
				ts.Setenv("PLUGIN_PID", strconv.Itoa(w.Pid))
			}
			break
		}
	}
	ts.Setenv("STARTED_PID", strconv.Itoa(cmd.Process.Pid))
	go func() {
		defer close(ended)
		for s.Scan() { // it must not stop for want of a reader
		}
		_ = cmd.Wait()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
}

// alive fails unless the plugin that was started by debug runs; with !, unless it does not.
func alive(ts *testscript.TestScript, neg bool, _ []string) {
	pid, err := strconv.Atoi(ts.Getenv("PLUGIN_PID"))
	ts.Check(err)
	for range 500 { // what was told to end takes a moment
		if runs := syscall.Kill(pid, 0) == nil; runs != neg {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("process %d: running is not what was expected", pid)
}

// end interrupts what debug has started.
func endDebugged(ts *testscript.TestScript, _ bool, _ []string) {
	pid, err := strconv.Atoi(ts.Getenv("STARTED_PID"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGINT))
}
