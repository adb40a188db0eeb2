package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/session"
)

// Folders are stacks that are folders of this machine. They implement Stacks.
type Folders struct {
	changed chan struct{}
	mu      sync.Mutex
	stacks  []Stack
	more    map[string][]string // by name of the stack: further folders
}

// NewFolders returns the stacks of folders. A stack's name is that of its folder; of two equal ones the second gets a number.
func NewFolders(dirs, vars, varFiles []string) (*Folders, error) {
	f := &Folders{changed: make(chan struct{}, 1), more: map[string][]string{}}
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
	for i := range f.stacks {
		d, err := readDecisions(f.stacks[i].Dir)
		if err != nil {
			return nil, err
		}
		f.stacks[i].Decisions = d
	}
	f.look()
	return f, nil
}

// Run looks at the files again and again until the context ends.
func (f *Folders) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look()
		}
	}
}

// look finds out which stacks have changed.
func (f *Folders) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	for i := range f.stacks {
		s := &f.stacks[i]
		if version := versionOf(s.Dir, f.more[s.Name], s.VarFiles); version != s.Version {
			s.Version, changed = version, true
		}
	}
	if changed {
		f.tell()
	}
}

func (f *Folders) tell() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// List implements Stacks.
func (f *Folders) List(context.Context) ([]Stack, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stacks), nil
}

// Changed implements Stacks.
func (f *Folders) Changed() <-chan struct{} { return f.changed }

// Include implements Stacks.
func (f *Folders) Include(name string, dirs []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.stacks {
		if s := &f.stacks[i]; s.Name == name && !slices.Equal(f.more[name], dirs) {
			f.more[name] = dirs
			s.Version = versionOf(s.Dir, dirs, s.VarFiles)
			f.tell()
		}
	}
}

// Decide implements Stacks. The decisions are a file in davit's own folder of the stack.
func (f *Folders) Decide(_ context.Context, name string, change func(*Decisions)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.stacks {
		s := &f.stacks[i]
		if s.Name != name {
			continue
		}
		d := s.Decisions
		d.Approvals, d.Rejections = slices.Clone(d.Approvals), slices.Clone(d.Rejections)
		change(&d)
		if err := writeDecisions(s.Dir, d); err != nil {
			return err
		}
		s.Decisions = d
		f.tell()
		return nil
	}
	return &NotFoundError{fmt.Sprintf("there is no stack %q", name)}
}

func decisionsFile(dir string) string { return filepath.Join(dir, ".davit", "decisions.json") }

func readDecisions(dir string) (Decisions, error) {
	var d Decisions
	text, err := os.ReadFile(decisionsFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		err = fmt.Errorf("%s cannot be read. It says whether the stack is suspended and what was approved: mend it, or remove it to start without: %w", decisionsFile(dir), err)
	}
	return d, err
}

func writeDecisions(dir string, d Decisions) error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(decisionsFile(dir)), 0o700); err != nil {
		return err
	}
	return session.ReplaceFile(decisionsFile(dir), append(text, '\n'), 0o600)
}

// mostEntries is how many entries of a folder are looked at: a stack's folder with more of them is a mistake.
const mostEntries = 20000

// versionOf returns a text that changes with the names, sizes and times of the files that a stack may be made of: the *.hcl and *.hclvars of its
// folders and of those below them, and the files with variables. Folders that begin with a dot are left out.
func versionOf(dir string, more, varFiles []string) string {
	h := fnv.New64a()
	note := func(path string) {
		if info, err := os.Stat(path); err == nil { // what cannot be read is told by who opens the stack
			fmt.Fprintf(h, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
	}
	for _, root := range append([]string{dir}, more...) {
		entries := 0
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if entries++; entries > mostEntries {
				return filepath.SkipAll
			}
			switch {
			case err != nil:
			case d.IsDir():
				if path != root && strings.HasPrefix(d.Name(), ".") {
					return filepath.SkipDir
				}
			case slices.Contains([]string{".hcl", ".hclvars"}, filepath.Ext(d.Name())):
				note(path)
			}
			return nil
		})
	}
	for _, file := range varFiles {
		note(session.Absolute(dir, file))
	}
	return fmt.Sprintf("%x", h.Sum64())
}

var _ Stacks = (*Folders)(nil)

// suspension returns who suspends a stack, now.
func suspension(who string) *status.Suspension {
	return &status.Suspension{Who: who, At: time.Now().UTC()}
}
