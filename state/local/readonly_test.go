package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

// readOnly reads as somebody who may only read, and says what comes of writing.
func readOnly(path string, _ []string) error {
	if os.Getuid() == 0 {
		const nobody = 65534
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
			return err
		}
	}
	s, err := local.Open(path)
	if err != nil {
		return err
	}
	a, err := s.Archive(context.Background())
	if err != nil {
		return err
	}
	fmt.Println("records", len(a.Records), "serial", a.Serial)
	_, err = s.Lock(context.Background(), state.Holder{})
	fmt.Println(err)
	return nil
}

// Who may only read can plan, is told clearly that nothing can be written, and changes nothing.
func TestReadOnly(t *testing.T) {
	for name, c := range map[string]struct {
		dir, file os.FileMode
		there     bool
		want      string
	}{
		"file and folder":     {0o555, 0o444, true, "you may read this state but not write to it"},
		"the file":            {0o755, 0o444, true, "you may read this state but not write to it"},
		"a folder without it": {0o555, 0o444, false, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // so that others can come to it
				t.Fatal(err)
			}
			path := filepath.Join(dir, "state.db")
			want := "records 0 serial 0"
			if c.there {
				want = "records 1 serial 1"
				l, err := store(t, path).Lock(t.Context(), state.Holder{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.a")}})
				if err := errors.Join(err, l.Release(t.Context()), os.Chmod(path, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := os.ReadFile(path)
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			child := start(t, "read", path)
			if got := child.line(); got != want {
				t.Errorf("reading: %s, want %s", got, want)
			}
			if got := child.line(); !strings.Contains(got, c.want) || !strings.Contains(got, path) {
				t.Errorf("writing: %s, want %q", got, c.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}
