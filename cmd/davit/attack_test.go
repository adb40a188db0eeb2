package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/davit-sh/davit/core/install"
)

// attackBinary names the davit that is attacked; without it, the one under test.
const attackBinary = "DAVIT_ATTACK_BINARY"

// TestAttack tries what strangers could put into a repository, a registry or a file, each in a script of its own, against the
// command. After each script nothing was run, asked for or read out, whatever the script itself looked at.
func TestAttack(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "attack", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no attacks", err)
	}
	held := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if t.Run(name, func(t *testing.T) { attack(t, file) }) {
			held++
		} else {
			fmt.Printf("attack: FAILED %s\n", name)
		}
	}
	fmt.Printf("attack: tried %d, held %d, failed %d\n", len(files), held, len(files)-held)
}

// attackSecrets are the secrets that no attack may show, by their environment variables.
var attackSecrets = map[string]string{"DAVIT_GIT_TOKEN": "planted-git-token", "DAVIT_STATE_KEY": "planted-state-key-of-32-bytes-...", "DAVIT_VAR_password": "planted-password"}

// field is the place of one attack: what it must not touch.
type field struct {
	dir, canary, outside, temp string
	listener                   net.Listener
	asked                      atomic.Int32
}

func attack(t *testing.T, file string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &field{dir: t.TempDir(), listener: listener}
	a.canary, a.outside, a.temp = filepath.Join(a.dir, "canary"), filepath.Join(a.dir, "outside"), filepath.Join(a.dir, "temp")
	t.Cleanup(func() { listener.Close() })
	go a.listen()
	for _, dir := range []string{a.outside, a.temp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(a.outside, "secret.yaml"), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: planted-outside}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{file},
		Setup: a.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"try": a.try, "bomb": bomb, "commit": commit, "registry": startRegistry, "damage": damage, "push-layer": pushLayer,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

func (a *field) listen() {
	for {
		c, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.asked.Add(1)
		c.Close()
	}
}

func (a *field) setup(e *testscript.Env) error {
	for name, value := range attackSecrets {
		e.Setenv(name, value)
	}
	for name, value := range map[string]string{
		"HOME": e.WorkDir, "DAVIT_CACHE_DIR": filepath.Join(e.WorkDir, ".cache"), "PLATFORM": install.Platform(), "TMPDIR": a.temp,
		"CANARY": a.canary, "OUTSIDE": a.outside, "LISTENER": a.listener.Addr().String(), "GIT_CONFIG_GLOBAL": filepath.Join(e.WorkDir, ".gitconfig"),
		"GIT_TERMINAL_PROMPT": "0",
	} {
		e.Setenv(name, value)
	}
	if binary := os.Getenv(attackBinary); binary != "" {
		bin := filepath.Join(e.WorkDir, ".bin")
		if err := errors.Join(os.Mkdir(bin, 0o700), os.Symlink(binary, filepath.Join(bin, "davit"))); err != nil {
			return err
		}
		e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
	}
	return os.WriteFile(filepath.Join(e.WorkDir, ".gitconfig"), []byte("[user]\n\tname = Script\n\temail = script@example.com\n[init]\n\tdefaultBranch = main\n"), 0o600)
}

// attackStack plans the folder app of the repository repo.
const attackStack = `source "git" "it" {
  url    = "repo"
  branch = "main"
}
application "manifests" "it" {
  source    = source.git.it
  path      = "app"
  directory = "out"
  namespace = "shop"
}
`

// mostOutput is how much a refused attack may make davit print.
const mostOutput = 16 << 10

// try PATTERN commits the folder repo, plans, and wants an error that the pattern matches; "! try PATTERN" wants a plan. In the names and
// texts of repo, @CANARY@, @OUTSIDE@ and @LISTENER@ stand for a file that must not come to be, a folder that must not be read,
// and an address that must not be asked.
func (a *field) try(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: try PATTERN [ARGUMENTS OF PLAN]")
	}
	a.prepare(ts)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	path := "davit"
	if own := ts.MkAbs(".bin/davit"); os.Getenv(attackBinary) != "" {
		path = own
	} else if found, err := exec.LookPath("davit"); err == nil {
		path = found
	}
	cmd := exec.CommandContext(ctx, path, append([]string{"plan", "-no-color"}, args[1:]...)...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), a.env(ts)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	ts.Logf("%s", out.String()[:min(out.Len(), mostOutput)])
	a.look(ts, out.String())
	switch {
	case ctx.Err() != nil:
		ts.Fatalf("davit was still at it after two minutes")
	case out.Len() > mostOutput:
		ts.Fatalf("davit printed %d bytes", out.Len())
	case !neg && err == nil:
		ts.Fatalf("the attack was planned")
	case neg && err != nil:
		ts.Fatalf("no plan: %v", err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	if !regexp.MustCompile(args[0]).MatchString(text) {
		ts.Fatalf("%q does not match what davit printed", args[0])
	}
}

func (a *field) env(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"HOME", "PATH", "DAVIT_CACHE_DIR", "TMPDIR", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT", "DAVIT_VAR_registry"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range attackSecrets {
		env = append(env, name+"="+value)
	}
	return env
}

// prepare writes the stack, unless the script has one, fills the placeholders in, and commits the repository.
func (a *field) prepare(ts *testscript.TestScript) {
	dir := ts.MkAbs(".")
	if found, _ := filepath.Glob(filepath.Join(dir, "*.hcl")); len(found) == 0 {
		ts.Check(os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(attackStack), 0o600))
	}
	repo := filepath.Join(dir, "repo")
	if _, err := os.Stat(repo); err != nil {
		return
	}
	fill := strings.NewReplacer("@CANARY@", a.canary, "@OUTSIDE@", a.outside, "@LISTENER@", a.listener.Addr().String())
	var files []string
	ts.Check(filepath.WalkDir(repo, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == ".git" {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	for _, path := range files {
		text, err := os.ReadFile(path)
		ts.Check(err)
		to := fill.Replace(path)
		ts.Check(os.MkdirAll(filepath.Dir(to), 0o750))
		if to != path {
			ts.Check(os.Remove(path))
		}
		ts.Check(os.WriteFile(to, []byte(fill.Replace(string(text))), 0o600))
	}
	commit(ts, false, []string{"repo", "attack"})
}

// look fails when the attack got something.
func (a *field) look(ts *testscript.TestScript, output string) {
	if _, err := os.Stat(a.canary); err == nil {
		ts.Fatalf("a command of the repository was run")
	}
	if n := a.asked.Load(); n > 0 {
		ts.Fatalf("the address of the repository was asked %d times", n)
	}
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "::") || strings.HasPrefix(line, "##") || strings.ContainsAny(line, "\x1b\r\x07\u202e") {
			ts.Fatalf("a terminal or a CI system would obey %q", line)
		}
	}
	if strings.Contains(output, "planted-") {
		ts.Fatalf("something planted was printed")
	}
	left, err := os.ReadDir(a.temp)
	ts.Check(err)
	for _, d := range left {
		if strings.HasPrefix(d.Name(), "kustomize-") {
			ts.Fatalf("%s was left behind", d.Name())
		}
	}
}
