package workspace_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/davit-sh/davit/acceptance/internal/workspace"
)

func TestTheNextLabRemovesWhatAKilledOneLeft(t *testing.T) {
	t.Setenv("DAVIT_LAB_CACHE", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	killed, running := start(t), start(t)
	for _, w := range []*workspace.Workspace{killed, running} {
		if err := os.WriteFile(filepath.Join(w.Dir, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	killed.Release() // as the kernel does at the end of a process
	next := start(t)
	if _, err := os.Stat(killed.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the killed lab is still there (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(running.Dir, "file")); err != nil {
		t.Errorf("a running lab lost its files: %v", err)
	}
	if next.Name == running.Name {
		t.Errorf("two labs are called %s", next.Name)
	}
}

func TestLabsHaveSubnetsOfTheirOwn(t *testing.T) {
	t.Setenv("DAVIT_LAB_CACHE", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	one, two := start(t), start(t)
	first, err := one.Subnet()
	if err != nil {
		t.Fatal(err)
	}
	second, err := two.Subnet()
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Errorf("both labs have %s", first)
	}
	if err := one.Remove(); err != nil {
		t.Fatal(err)
	}
	third, err := start(t).Subnet()
	if err != nil {
		t.Fatal(err)
	}
	if third != first {
		t.Errorf("got %s, want %s, which is free again", third, first)
	}
}

func start(t *testing.T) *workspace.Workspace {
	t.Helper()
	w, err := workspace.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Remove(); err != nil {
			t.Error(err)
		}
	})
	return w
}
