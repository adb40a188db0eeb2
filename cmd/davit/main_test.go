package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/plugins/kubernetes/render/cell"
	"github.com/davit-sh/davit/plugins/registry/embedded"
	"github.com/davit-sh/davit/schemas"
	"github.com/davit-sh/davit/sdk"
)

// The scripts run the real command with its real plugins, each a process of its own, and one
// plugin from outside that misbehaves when it is told to.
func TestMain(m *testing.M) {
	cell.Main()
	testscript.Main(m, map[string]func(){
		"davit":      main,
		"testplugin": func() { sdk.Serve(testPlugin()) },
		"badplugin":  serveBadPlugin,
		"killplugin": func() { sdk.Serve(killPlugin()) },
		"noplugin":   func() { _, _ = os.Stdout.WriteString("hello there\n") },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("DAVIT_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("PLATFORM", install.Platform())
			e.Setenv("PLATFORM_FILE", strings.ReplaceAll(install.Platform(), "/", "_"))
			e.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(e.WorkDir, ".gitconfig"))
			return os.WriteFile(filepath.Join(e.WorkDir, ".gitconfig"), []byte("[user]\n\tname = Script\n\temail = script@example.com\n[init]\n\tdefaultBranch = main\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry": startRegistry, "githttp": startGitHTTP, "lock-registry": lockRegistry, "fill-in": fillIn,
			"plugin":  linkPlugin,
			"commit":  commit,
			"fill":    fill,
			"valid":   valid,
			"await":   await,
			"sign":    sign,
			"same-id": sameID,
			"stackname": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Setenv("STACK", filepath.Base(ts.MkAbs(".")))
			},
			"damage": damage,
		},
	})
}

// registry [FILE] starts a registry and sets $REGISTRY to its host and port. It takes no uploads while FILE exists.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	actual, wait, err := embedded.Serve(ctx, "127.0.0.1:0", ts.MkAbs(".registry"))
	ts.Check(err)
	ts.Defer(func() {
		cancel()
		_ = wait()
	})
	if len(args) > 0 {
		front := httptest.NewServer(refuseUploads(actual, ts.MkAbs(args[0])))
		ts.Defer(front.Close)
		actual = front.Listener.Addr().String()
	}
	ts.Setenv("REGISTRY", actual)
	ts.Setenv("DAVIT_VAR_registry", actual)
}

// refuseUploads passes requests on to a registry. Uploads fail while a file exists.
func refuseUploads(registry, file string) http.Handler {
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(file); err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "the disk is full", http.StatusForbidden)
			return
		}
		pass.ServeHTTP(w, r)
	})
}

// plugin NAME puts an executable plugin at plugins/NAME.
func linkPlugin(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	ts.Check(os.MkdirAll(ts.MkAbs("plugins"), 0o750))
	ts.Check(os.Symlink(path, ts.MkAbs(filepath.Join("plugins", args[0]))))
}

// await FILE [TEXT] waits until there is a file, with that text in it.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && (len(args) == 1 || strings.Contains(string(b), args[1])) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited in vain for %s: %v\n%s", args, err, b)
		}
	}
}

// damage ADDRESS spoils the last byte of a record in the file that the state is in.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	db, err := bbolt.Open(ts.MkAbs(".davit/state.db"), 0o600, nil)
	ts.Check(err)
	defer db.Close()
	ts.Check(db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("records"))
		item := bytes.Clone(records.Get([]byte(args[0])))
		if item == nil {
			return fmt.Errorf("no record of %s", args[0])
		}
		item[len(item)-1] ^= 1
		return records.Put([]byte(args[0]), item)
	}))
}

// same-id FILE FIRST LAST looks at what memos have written: the tries of FIRST and LAST ("NAME TEXT") were one operation.
func sameID(ts *testscript.TestScript, _ bool, args []string) {
	ids := map[string]string{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		f := strings.Fields(line)
		name := strings.TrimPrefix(f[0], "application.memo.") + " " + f[1]
		if before := ids[name]; before != "" && before != f[2] {
			ts.Fatalf("two operations have tried %s:\n%s", name, ts.ReadFile(args[0]))
		}
		ids[name] = f[2]
	}
	if ids[args[1]] == "" || ids[args[1]] != ids[args[2]] {
		ts.Fatalf("%s and %s are not the same operation:\n%s", args[1], args[2], ts.ReadFile(args[0]))
	}
}

// commit FOLDER MESSAGE commits everything in a folder, making it a repository first.
func commit(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		ts.Check(ts.Exec("git", "init", "-q", dir))
	}
	ts.Check(ts.Exec("git", "-C", dir, "add", "-A"))
	ts.Check(ts.Exec("git", "-C", dir, "commit", "-q", "--allow-empty", "-m", args[1]))
}

// fill FILE KIND writes a file that is too much: "brackets" or "large".
func fill(ts *testscript.TestScript, _ bool, args []string) {
	text := "locals {\n  x = " + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "\n}\n"
	if args[1] == "large" {
		text = "locals {\n" + strings.Repeat("  # "+strings.Repeat("x", 96)+"\n", 105000) + "  y = \n}\n"
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// valid FILE SCHEMA checks a JSON file, or the standard output of the last command, against a published schema; with
// LINES as a third argument, each line of it.
func valid(ts *testscript.TestScript, _ bool, args []string) {
	published := map[string][]byte{"plan": schemas.Plan, "event": schemas.Event, "state": schemas.State, "validate": schemas.Validate, "schema": schemas.Schema, "version": schemas.Version}
	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(published[args[1]]))
	ts.Check(err)
	ts.Check(compiler.AddResource(args[1], doc))
	schema, err := compiler.Compile(args[1])
	ts.Check(err)
	texts := []string{ts.ReadFile(args[0])}
	if len(args) > 2 {
		texts = strings.Split(strings.TrimSpace(texts[0]), "\n")
	}
	for _, text := range texts {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		ts.Check(err)
		ts.Check(schema.Validate(v))
	}
}
