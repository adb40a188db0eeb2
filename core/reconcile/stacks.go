package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"encoding/json"

	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/session"
)

// Stack is one stack of a loop.
type Stack struct {
	Name string // unique in the process, and part of URLs
	Dir  string // of its files, absolute
	// Version changes whenever the files may have changed. The worker reads them again then.
	Version        string
	Interval       time.Duration // 0: the loop's
	Vars, VarFiles []string
	Suspended      *status.Suspension // nil: it is not
}

// Stacks is where the stacks of a loop come from. Its methods may be called concurrently.
type Stacks interface {
	// List returns the stacks as they are now.
	List(ctx context.Context) ([]Stack, error)
	// Changed returns a channel that has a value whenever List may return something else.
	Changed() <-chan struct{}
	// Suspend makes a stack act on orders of persons only, or ends that. It holds when the process begins again.
	Suspend(ctx context.Context, name string, by *status.Suspension) error
}

// Folders are stacks that are folders of this machine. Their files are looked at every second.
type Folders struct {
	process        *session.Process
	vars, varFiles []string

	changed chan struct{}
	mu      sync.Mutex
	stacks  []Stack
}

// NewFolders returns the stacks of folders. A stack's name is that of its folder; of two equal ones the second gets a number.
func NewFolders(dirs, vars, varFiles []string) (*Folders, error) {
	f := &Folders{vars: vars, varFiles: varFiles, changed: make(chan struct{}, 1)}
	names, places := map[string]int{}, map[string]bool{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		if places[abs] {
			return nil, fmt.Errorf("-stack names %s twice", dir)
		}
		info, err := os.Stat(abs)
		if err != nil {
			return nil, fmt.Errorf("-stack: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("-stack: %s is no folder", dir)
		}
		places[abs] = true
		name := filepath.Base(abs)
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		f.stacks = append(f.stacks, Stack{Name: name, Dir: abs, Vars: vars, VarFiles: varFiles})
	}
	return f, f.look()
}

// Run looks at the files until the context ends.
func (f *Folders) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = f.look() // what cannot be read now is told by the worker
		}
	}
}

// look finds out which stacks have changed.
func (f *Folders) look() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	var errs []error
	for i := range f.stacks {
		s := &f.stacks[i]
		version := versionOf(s.Dir, s.VarFiles)
		suspended, err := readSuspension(s.Dir)
		if err != nil {
			errs = append(errs, err)
		}
		if version != s.Version || (suspended == nil) != (s.Suspended == nil) {
			s.Version, s.Suspended, changed = version, suspended, true
		}
	}
	if changed {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
	return errors.Join(errs...)
}

// List implements Stacks.
func (f *Folders) List(context.Context) ([]Stack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Stack(nil), f.stacks...), nil
}

// Changed implements Stacks.
func (f *Folders) Changed() <-chan struct{} { return f.changed }

// Suspend implements Stacks: it is a file in davit's own folder of the stack.
func (f *Folders) Suspend(_ context.Context, name string, by *status.Suspension) error {
	f.mu.Lock()
	dir := ""
	for i := range f.stacks {
		if f.stacks[i].Name == name {
			dir = f.stacks[i].Dir
		}
	}
	f.mu.Unlock()
	if dir == "" {
		return fmt.Errorf("there is no stack %q", name)
	}
	if err := writeSuspension(dir, by); err != nil {
		return err
	}
	return f.look()
}

func suspensionFile(dir string) string { return filepath.Join(dir, ".davit", "suspended.json") }

func readSuspension(dir string) (*status.Suspension, error) {
	text, err := os.ReadFile(suspensionFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s := &status.Suspension{}
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil { // it is safer not to act
		return &status.Suspension{Who: "somebody"}, fmt.Errorf("%s cannot be read; the stack counts as suspended: %w", suspensionFile(dir), err)
	}
	return s, nil
}

func writeSuspension(dir string, by *status.Suspension) error {
	if by == nil {
		err := os.Remove(suspensionFile(dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	text, err := json.Marshal(by)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(suspensionFile(dir)), 0o700); err != nil {
		return err
	}
	return session.ReplaceFile(suspensionFile(dir), append(text, '\n'), 0o600)
}

// mostEntries is how many entries of a stack's folder are looked at: a folder with more of them is a mistake.
const mostEntries = 20000

// versionOf returns a text that changes with the names, sizes and times of the files that a stack may be made of: the *.hcl and *.hclvars of its
// folder and of the folders below it, and the files with variables. Folders that begin with a dot are left out.
func versionOf(dir string, varFiles []string) string {
	h := fnv.New64a()
	note := func(path string, info fs.FileInfo) {
		fmt.Fprintf(h, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	entries := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is told by who opens the stack
		if entries++; entries > mostEntries {
			return filepath.SkipAll
		}
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if path != dir && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(d.Name()) {
		case ".hcl", ".hclvars":
			if info, err := os.Stat(path); err == nil {
				note(path, info)
			}
		}
		return nil
	})
	for _, file := range varFiles {
		if path := session.Absolute(dir, file); path != "" {
			if info, err := os.Stat(path); err == nil {
				note(path, info)
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum64())
}
