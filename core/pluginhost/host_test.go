package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// fakeExecutable starts the test binary as a plugin.
func fakeExecutable(mode string) Executable {
	return Executable{Path: os.Args[0], Args: []string{"as-plugin", mode}}
}

// newHost returns a host of fake plugins, named by their modes.
func newHost(t testing.TB, change func(*Options), modes ...string) *Host {
	t.Helper()
	o := Options{Version: "9.9", CacheDir: "/cache", StackDir: "/stack", Plugins: map[string]Executable{}, StartTimeout: time.Minute}
	for _, m := range modes {
		o.Plugins[m] = fakeExecutable(m)
	}
	if change != nil {
		change(&o)
	}
	h := New(o)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// goodClient returns a started plugin.
func goodClient(t testing.TB, change func(*Options)) *Client {
	t.Helper()
	c, err := newHost(t, change, "good").Client(context.Background(), "good")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// planned asks the fake plugin to do what the address names, and returns what it says.
func planned(t testing.TB, c *Client, address string) string {
	t.Helper()
	r, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.GetPrivate())
}

// problem checks that an error is an *Error whose text contains all of the words, and no stack trace.
func problem(t testing.TB, err error, words ...string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is a %T (%v), not an *Error", err, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q:\n%v", w, err)
		}
	}
	for _, bad := range []string{"goroutine", ".go:", "\x1b", "rpc error", "main."} {
		if strings.Contains(err.Error(), bad) {
			t.Errorf("the error has %q in it:\n%v", bad, err)
		}
	}
	return e
}

func TestAPluginIsStartedOnceAndConfigured(t *testing.T) {
	h := newHost(t, nil, "good")
	var wg sync.WaitGroup
	clients := make([]*Client, 20)
	for i := range clients {
		wg.Go(func() {
			var err error
			if clients[i], err = h.Client(context.Background(), "good"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(slices.Compact(clients)) != 1 {
		t.Error("different callers got different clients")
	}
	if got := planned(t, clients[0], "configured:"); got != "9.9 /cache /stack" {
		t.Errorf("the plugin was told %q", got)
	}
	r, err := clients[0].Resolve(context.Background(), &pluginv1.ResolveRequest{Tag: "v1"})
	if err != nil || r.GetDigest() != "sha256:v1" {
		t.Errorf("Resolve: %v, %v", r, err)
	}
	if err := clients[0].Cancel(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestABadStartSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		mode string
		says []string
		hint string
	}{
		{"exits", []string{`plugin "exits" ended (exit status 3) while starting`, "its last output:", "no licence found"}, ""},
		{"panics", []string{"ended (exit status 2)", "its last output: panic: assignment to entry in nil map"}, ""},
		{"closes", []string{"closed its standard output"}, "not be a davit plugin"},
		{"garbage", []string{`its first line was "Welcome to plugin 1.0!"`}, "not be a davit plugin"},
		{"long-garbage", []string{"does not speak the plugin protocol", "xxx..."}, "not be a davit plugin"},
		{"newer", []string{"speaks version 7 of the plugin protocol, but this davit speaks version 1"}, "Get a version"},
		{"netrpc", []string{"does not speak gRPC"}, "another program"},
		{"tcp", []string{`serves on tcp "127.0.0.1:1", not on a Unix socket`}, "PLUGIN_UNIX_SOCKET_DIR"},
		{"elsewhere", []string{`serves on "/tmp/other.sock", outside of its folder`}, "PLUGIN_UNIX_SOCKET_DIR"},
		{"nothing-there", []string{"which does not exist"}, "PLUGIN_UNIX_SOCKET_DIR"},
		{"refuses", []string{"refused to work: The cache is read-only: cannot write"}, "Mount it writable."},
		{"dies-in-configure", []string{"ended (exit status 4) while starting", "out of luck"}, ""},
	} {
		t.Run(test.mode, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil, test.mode)
			_, err := h.Client(context.Background(), test.mode)
			e := problem(t, err, test.says...)
			if !strings.Contains(e.HintText(), test.hint) {
				t.Errorf("the hint is %q", e.Hint)
			}
			if len(err.Error()) > 600 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if _, again := h.Client(context.Background(), test.mode); !errors.Is(again, err) {
				t.Errorf("asked again: %v", again)
			}
		})
	}
}

func TestAHangingStartIsEnded(t *testing.T) {
	for _, mode := range []string{"hangs", "deaf", "hangs-in-configure"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, func(o *Options) { o.StartTimeout = 700 * time.Millisecond }, mode)
			_, err := h.Client(context.Background(), mode)
			problem(t, err, "did not answer within 700ms while starting")
		})
	}
}

func TestWaitingForAStartCanBeGivenUp(t *testing.T) {
	h := newHost(t, nil, "hangs")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Client(ctx, "hangs"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Close, in the clean-up, ends the start.
}

func TestOneBadPluginIsNoOthersProblem(t *testing.T) {
	h := newHost(t, nil, "good", "exits")
	if _, err := h.Client(context.Background(), "exits"); err == nil {
		t.Error("it started")
	}
	c, err := h.Client(context.Background(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if got := planned(t, c, "say:hi"); got != "hi" {
		t.Error(got)
	}
}

func TestFloodBeforeTheHandshakeDoesNoHarm(t *testing.T) {
	h := newHost(t, nil, "floods")
	if _, err := h.Client(context.Background(), "floods"); err != nil {
		t.Error(err)
	}
}

func TestAnExecutableThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, path, says string
		is               error
	}{
		{"not found", filepath.Join(dir, "none"), "was not found: missing file " + dir, fs.ErrNotExist},
		{"a folder", dir, "is a folder", nil},
		{"not executable", write("plain", "#!/bin/sh\n", 0o644), "is not executable", fs.ErrPermission},
		{"not a program", write("text", "hello", 0o755), "is not a program for this machine", nil},
		{"no interpreter", write("script", "#!/no/such/thing\n", 0o755), "needs an interpreter", fs.ErrNotExist},
		{"a device", "/dev/null", "is not a plain file", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t, func(o *Options) { o.Plugins["x"] = Executable{Path: test.path} })
			_, err := h.Client(context.Background(), "x")
			e := problem(t, err, `plugin "x" was not`, test.says)
			if test.is != nil && !errors.Is(e, test.is) {
				t.Errorf("it is not %v", test.is)
			}
		})
	}
	_, err := newHost(t, nil).Client(context.Background(), "y")
	problem(t, err, `plugin "y" is not known`)
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestTheChecksumIsVerified(t *testing.T) {
	start := func(sum string) error {
		h := newHost(t, func(o *Options) {
			e := fakeExecutable("good")
			e.SHA256 = sum
			o.Plugins["x"] = e
		})
		_, err := h.Client(context.Background(), "x")
		return err
	}
	good := sumOf(t, os.Args[0])
	for _, sum := range []string{good, strings.ToUpper(good), "sha256:" + good} {
		if err := start(sum); err != nil {
			t.Errorf("%s: %v", sum, err)
		}
	}
	for _, sum := range []string{strings.Repeat("0", 64), good[:32], "nonsense"} {
		problem(t, start(sum), "was not started", "is not the locked file", good)
	}
}

func TestAVerifiedScriptIsStarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin.sh")
	script := "#!/bin/sh\nexec '" + os.Args[0] + "' as-plugin good\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil { //nolint:gosec // to be run
		t.Fatal(err)
	}
	h := newHost(t, func(o *Options) { o.Plugins["x"] = Executable{Path: path, SHA256: sumOf(t, path)} })
	if _, err := h.Client(context.Background(), "x"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsStartedIsWhatWasVerified(t *testing.T) {
	const script, other = "#!/bin/sh\necho good\n", "#!/bin/sh\necho evil\n"
	verified := func(t *testing.T, content string) *program {
		t.Helper()
		path := filepath.Join(t.TempDir(), "p")
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil { //nolint:gosec // to be run
			t.Fatal(err)
		}
		p, problem := openProgram(path, sumOf(t, path))
		if problem != nil {
			t.Fatal(problem)
		}
		t.Cleanup(p.close)
		if err := p.unchanged(); err != nil {
			t.Fatalf("before the attack: %v", err)
		}
		return p
	}
	swap := func(t *testing.T, p *program) {
		t.Helper()
		evil := p.path + ".new"
		if err := errors.Join(os.WriteFile(evil, []byte(other), 0o700), os.Rename(evil, p.path)); err != nil { //nolint:gosec // to be run
			t.Fatal(err)
		}
	}
	t.Run("the file of a script is replaced", func(t *testing.T) {
		p := verified(t, script)
		swap(t, p)
		if !errors.Is(p.unchanged(), errChanged) {
			t.Error("not noticed")
		}
	})
	t.Run("the file of a script is written to, and its time set back", func(t *testing.T) {
		p := verified(t, script)
		time.Sleep(20 * time.Millisecond)                                                                                                  // the clock of file times is coarse
		if err := errors.Join(os.WriteFile(p.path, []byte(other), 0o700), os.Chtimes(p.path, time.Time{}, p.stat.ModTime())); err != nil { //nolint:gosec // to be run
			t.Fatal(err)
		}
		if !errors.Is(p.unchanged(), errChanged) {
			t.Error("not noticed")
		}
	})
	t.Run("the file of a program is replaced", func(t *testing.T) {
		binary, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		p := verified(t, string(binary))
		swap(t, p)
		started, err := os.ReadFile(p.exec)
		if err != nil || len(started) != len(binary) {
			t.Errorf("%d bytes would be started, not %d (%v)", len(started), len(binary), err)
		}
	})
}

func TestThePluginSeesNoSecretsAndNoTerminal(t *testing.T) {
	for name, value := range map[string]string{
		"DAVIT_VAR_password": "hunter2", "CI_TOKEN": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2", "GITHUB_TOKEN": "hunter2",
		"PLUGIN_UNIX_SOCKET_GROUP": "hunter2", "LD_PRELOAD_": "hunter2", "xDAVIT_X": "hunter2", "DAVIT_GIT_TOKEN": "hunter2", "DAVIT_STATE_KEY": "hunter2",
		"KUBECONFIG": "hunter2", "SSH_AUTH_SOCK": "hunter2", "DOCKER_CONFIG": "hunter2", "BUILDX_CONFIG": "hunter2", "http_proxy": "http://ada:hunter2@127.0.0.1:1",
		"XDG_CACHE_HOME": "yes", "no_proxy": "yes", "LISTED": "yes", "OPEN_ONE": "yes", "DAVIT_PLUGIN": "another one's",
		"HTTPS_PROXY": "http://127.0.0.1:1", // must not come between davit and its plugin
	} {
		t.Setenv(name, value)
	}
	c := goodClient(t, func(o *Options) {
		e := o.Plugins["good"]
		e.Env = []string{"LISTED", "NOT_SET", "OPEN_*", "DAVIT_STATE_KEY", "DAVIT_STATE_*"}
		o.Plugins["good"] = e
	})
	env := planned(t, c, "env:")
	if strings.Contains(env, "hunter2") {
		t.Errorf("the plugin sees a secret:\n%s", env)
	}
	for _, want := range []string{"XDG_CACHE_HOME=yes", "no_proxy=yes", "LISTED=yes", "OPEN_ONE=yes", "HTTPS_PROXY=http://127.0.0.1:1"} {
		if !strings.Contains("\n"+env+"\n", "\n"+want+"\n") {
			t.Errorf("the plugin does not see %s", want)
		}
	}
	if got := planned(t, c, "stdin:"); got != "0 bytes, <nil>" {
		t.Errorf("standard input: %s", got)
	}
	if got := planned(t, c, "group:"); got != "true" {
		t.Error("the plugin has no process group of its own")
	}
}

func TestTheFolderOfSocketsIsPrivateAndGoes(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	h := newHost(t, nil, "good")
	if _, err := h.Client(context.Background(), "good"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(h.setUp.dir.path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	sockets, err := filepath.Glob(h.setUp.dir.path + "/*/*")
	if err != nil || len(sockets) != 1 {
		t.Errorf("sockets: %v, %v", sockets, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(h.setUp.dir.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestALongTemporaryPathIsNoProblem(t *testing.T) {
	tmp := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	if got := planned(t, goodClient(t, nil), "say:hi"); got != "hi" {
		t.Error(got)
	}
}

func TestLeftoversAreSweptAndNothingElse(t *testing.T) {
	tmp := t.TempDir()
	folder := func(name string, mode os.FileMode, age time.Duration) string {
		path := filepath.Join(tmp, name)
		if err := errors.Join(os.Mkdir(path, mode), os.WriteFile(filepath.Join(path, "socket"), nil, 0o600),
			os.Chtimes(path, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := folder("davit-7-1", 0o700, time.Hour)
	young := folder("davit-7-2", 0o700, 0)
	alive := folder("davit-7-3", 0o700, time.Hour)
	open := folder("davit-7-4", 0o755, time.Hour)
	others := folder("davit-77-5", 0o700, time.Hour)
	if err := os.Symlink(others, filepath.Join(tmp, "davit-7-6")); err != nil {
		t.Fatal(err)
	}
	lock, err := lockDir(alive)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	sweep(tmp, "davit-7-")
	if exists(dead) {
		t.Error("a dead host's folder is still there")
	}
	for _, path := range []string{young, alive, open, others} {
		if !exists(filepath.Join(path, "socket")) {
			t.Errorf("%s was swept", path)
		}
	}
}

func TestAfterCloseNothingStarts(t *testing.T) {
	h := newHost(t, nil, "good")
	c, err := h.Client(context.Background(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	_, err = h.Client(context.Background(), "good")
	problem(t, err, "was not started because davit is stopping")
	_, err = c.Describe(context.Background())
	problem(t, err, "was stopped because davit is stopping")
}
