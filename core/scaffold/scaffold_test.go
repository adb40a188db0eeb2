package scaffold_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/plugintest"
	"github.com/davit-sh/davit/core/scaffold"
)

// The test binary is also the host that the conformance suite kills.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "as-host" {
		o := plugintest.Options{Executable: pluginhost.Executable{Path: os.Args[2]}}
		if err := plugintest.HostToKill(context.Background(), o, os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// run runs the go command in a module, with nothing but what is on this machine.
func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Every beginning builds, is vetted, passes its own test, is formatted, and conforms.
func TestABeginningWorks(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	kinds := scaffold.Kinds()
	if want := []string{"application", "build", "image", "notification", "policy", "source"}; !slices.Equal(kinds, want) {
		t.Fatalf("there are %v, want %v", kinds, want)
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "plugin")
			files, err := scaffold.Write(scaffold.Options{Dir: dir, Name: "my-" + kind, Kind: kind, Module: "example.com/davit-it", Version: "v0.1.0", Replace: root})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{".gitignore", "README.md", "davit-plugin-test.hcl", "go.mod", "main.go", "main_test.go"} {
				if !slices.Contains(files, f) {
					t.Errorf("there is no %s: %v", f, files)
				}
			}
			unfilled(t, dir, files)
			run(t, dir, "build", "-o", "davit-it")
			run(t, dir, "vet", ".")
			run(t, dir, "test", ".")
			if out, err := exec.Command("gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("gofmt: %s, %v", out, err)
			}
			main := "plan"
			if kind == "notification" {
				main = "notify"
			}
			conforms(t, filepath.Join(dir, "davit-it"), main)
		})
	}
}

// unfilled fails if a file has a place for a name in it still.
func unfilled(t *testing.T, dir string, files []string) {
	t.Helper()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil || strings.Contains(string(b), "{{name}}") || strings.Contains(string(b), "{{type}}") || strings.Contains(string(b), "{{module}}") {
			t.Errorf("%s: %v\n%s", f, err, b)
		}
	}
}

// conforms runs the suite; main is the check that the others are nothing without.
func conforms(t *testing.T, plugin, main string) {
	t.Helper()
	examples, err := plugintest.FindExamples(plugin)
	if err != nil {
		t.Fatal(err)
	}
	r, err := plugintest.Run(t.Context(), plugintest.Options{
		Executable: pluginhost.Executable{Path: plugin}, Examples: examples, Host: pluginhost.Executable{Path: os.Args[0], Args: []string{"as-host", plugin}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		if c.Status == plugintest.Failed {
			t.Errorf("%s %s: %s", c.Type, c.Check, c.Seen)
		}
		if c.Check == main && c.Status != plugintest.Passed {
			t.Errorf("its examples were not used: %s", c.Seen)
		}
	}
}

func TestWhatIsNotWritten(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]scaffold.Options{
		`"My Plugin" is not a name`:  {Dir: t.TempDir(), Name: "My Plugin", Kind: "source"},
		`"../x" is not a name`:       {Dir: t.TempDir(), Name: "../x", Kind: "source"},
		`there is no kind "gizmo"`:   {Dir: t.TempDir(), Name: "x", Kind: "gizmo"},
		`there is no kind "all"`:     {Dir: t.TempDir(), Name: "x", Kind: "all"},
		"is not empty":               {Dir: full, Name: "x", Kind: "source"},
		"application, build, image,": {Dir: t.TempDir(), Name: "x"},
		"/nowhere does not exist":    {Dir: t.TempDir(), Name: "x", Kind: "source", Replace: "/nowhere"},
		"has no go.mod":              {Dir: t.TempDir(), Name: "x", Kind: "source", Replace: full},
	} {
		if _, err := scaffold.Write(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	if entries, _ := os.ReadDir(full); len(entries) != 1 {
		t.Error("something was written")
	}
}
