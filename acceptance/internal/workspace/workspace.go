// Package workspace gives each running lab a temporary folder and names of its
// own, and clears away what a lab left behind whose process was killed.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/davit-sh/davit/acceptance/internal/cache"
	"github.com/davit-sh/davit/acceptance/internal/cgroup"
)

// Workspace belongs to one running lab.
type Workspace struct {
	Dir    string // a temporary folder
	Name   string // unique on this machine
	claim  string // file that names Dir, locked while the lab runs
	unlock []func()
}

// Suffixes of Name that name the lab's control groups.
const (
	Pods   = "-pods"
	Builds = "-builds"
)

// New makes a workspace, after removing those of labs that were killed.
func New() (*Workspace, error) {
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	claims := filepath.Join(dir, "running")
	if err := os.MkdirAll(claims, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the lab: %w", err)
	}
	unlock, err := cache.Lock(filepath.Join(dir, "running.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := sweep(claims); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "davit-lab-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the lab: %w", err)
	}
	w := &Workspace{Dir: temp, Name: filepath.Base(temp)}
	w.claim = filepath.Join(claims, w.Name)
	release, err := cache.Lock(w.claim)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(temp))
	}
	w.unlock = append(w.unlock, release)
	if err := os.WriteFile(w.claim, []byte(temp), 0o600); err != nil {
		return nil, errors.Join(err, w.Remove())
	}
	return w, nil
}

// sweep removes what labs left whose claim nobody holds any longer.
func sweep(claims string) error {
	entries, err := os.ReadDir(claims)
	if err != nil {
		return fmt.Errorf("look for labs that were killed: %w", err)
	}
	for _, entry := range entries {
		claim := filepath.Join(claims, entry.Name())
		release, err := cache.TryLock(claim)
		if err != nil {
			return err
		}
		if release == nil {
			continue // it runs
		}
		w := &Workspace{Name: entry.Name(), claim: claim, unlock: []func(){release}}
		if text, err := os.ReadFile(claim); err == nil && filepath.Base(string(text)) == w.Name {
			w.Dir = string(text)
		}
		// What cannot be removed yet keeps its claim for the next time.
		_ = w.Remove()
	}
	return nil
}

// Subnet claims a subnet for pods that no other lab uses, until Remove or the
// end of the process.
func (w *Workspace) Subnet() (string, error) {
	dir, err := cache.Dir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "subnets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("claim a subnet: %w", err)
	}
	for i := range 256 {
		release, err := cache.TryLock(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return "", err
		}
		if release != nil {
			w.unlock = append(w.unlock, release)
			return fmt.Sprintf("10.201.%d.0/24", i), nil
		}
	}
	return "", errors.New("claim a subnet: 256 labs run already")
}

// Release lets the next lab remove the workspace: its files can be read until
// then.
func (w *Workspace) Release() {
	for _, unlock := range w.unlock {
		unlock()
	}
	w.unlock = nil
}

// Remove removes the workspace. The lab's processes must have ended.
func (w *Workspace) Remove() error {
	defer w.Release()
	var errs []error
	if strings.HasPrefix(w.Name, "davit-lab-") {
		for _, suffix := range []string{Pods, Builds} {
			errs = append(errs, cgroup.Remove(w.Name+suffix))
		}
	}
	if w.Dir != "" {
		errs = append(errs, os.RemoveAll(w.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	if err := os.Remove(w.claim); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
