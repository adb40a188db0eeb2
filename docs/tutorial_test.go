package docs_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// The tutorial is followed step by step: its files are written, its commands run, and what it says that they print is looked for.
func TestTheTutorialWorks(t *testing.T) {
	text, err := os.ReadFile("write-a-plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	releases := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/release.json":
			_, _ = w.Write([]byte(`{"version": "2.0.0"}`))
		case "/next.json":
			_, _ = w.Write([]byte(`{"version": "2.1.0-rc.1"}`))
		default:
			http.NotFound(w, r)
		}
	}))
	// As the web server of Python does, this one takes few connections at a time. It may hear late that a client has closed some, so it
	// takes twice as many as a client opens.
	open := map[net.Conn]bool{}
	var mu sync.Mutex
	releases.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch s {
		case http.StateNew:
			if open[c] = true; len(open) > 8 {
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			delete(open, c)
		case http.StateActive, http.StateIdle:
		}
	}
	releases.Start()
	defer releases.Close()
	home := t.TempDir()
	f := follower{dir: filepath.Join(home, "work"), bin: t.TempDir()}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if f.root, err = filepath.Abs(".."); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(f.root, filepath.Join(home, "davit")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(f.bin, "davit"), "../cmd/davit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	page := strings.ReplaceAll(string(text), "http://127.0.0.1:8000", releases.URL)
	blocks := regexp.MustCompile("(?ms)^```(\\S+) ?(\\S*)\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	if len(blocks) < 7 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	for _, b := range blocks {
		switch language, name, body := b[1], b[2], b[3]; {
		case language == "console":
			f.follow(t, body)
		case strings.HasPrefix(name, "examples/"): // an excerpt
			if whole, err := os.ReadFile(filepath.Join("..", name)); err != nil || !strings.Contains(string(whole), body) {
				t.Errorf("this does not stand in %s (%v):\n%s", name, err, body)
			}
		case name != "":
			if err := os.WriteFile(filepath.Join(f.dir, name), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("a block of %s is neither a file nor commands, so nobody knows whether it works", language)
		}
	}
	if out, err := exec.Command("gofmt", "-l", f.root+"/docs", f.dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %s, %v", out, err)
	}
}

// follower follows a page, in a folder that changes with it.
type follower struct{ dir, bin, root string }

// follow runs the commands of a block. The lines after a command are in its output, in that order; "..." stands for anything.
func (f *follower) follow(t *testing.T, block string) {
	t.Helper()
	for step := range strings.SplitSeq(block, "$ ") {
		line, want, _ := strings.Cut(step, "\n")
		if line == "" {
			continue
		}
		if to, ok := strings.CutPrefix(line, "cd "); ok {
			f.dir = filepath.Join(f.dir, to)
			continue
		}
		if line == "go mod tidy" {
			continue // It looks for the tests of all modules in the network. With -replace the module builds without it.
		}
		out := f.run(t, line)
		rest := squeezed(out)
		for w := range strings.SplitSeq(want, "\n") {
			if w = strings.TrimSuffix(squeezed(w), " ..."); w == "" || w == "..." {
				continue
			}
			_, after, found := strings.Cut(rest, w)
			if !found {
				t.Errorf("%s does not print %q:\n%s", line, w, out)
			}
			rest = after
		}
	}
}

// squeezed is a text with single blanks: the tables of different runs are not equally wide.
func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }

func (f *follower) run(t *testing.T, line string) string {
	t.Helper()
	args := strings.Fields(line)
	path, err := exec.LookPath(args[0])
	if args[0] == "davit" {
		path, err = filepath.Join(f.bin, "davit"), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off", "DAVIT_CACHE_DIR="+filepath.Join(f.bin, "cache"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}
