package buildx

import (
	"os"
	"path/filepath"
	"testing"
)

// A run that is killed cannot clean up: the next one does, and leaves alone what runs.
func TestTheFolderOfAKilledRunIsRemovedByTheNext(t *testing.T) {
	cache := t.TempDir()
	running, err := newWorkFolder(cache)
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newWorkFolder(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*workFolder{running, killed} {
		if err := os.WriteFile(w.policy(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := killed.lock.Close(); err != nil { // as the system does with what a killed process holds
		t.Fatal(err)
	}
	next, err := newWorkFolder(cache)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", killed.dir, err)
	}
	if _, err := os.Stat(running.policy()); err != nil {
		t.Errorf("what runs was taken away: %v", err)
	}
	running.remove()
	next.remove()
	if left, err := filepath.Glob(filepath.Join(cache, "buildx", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
