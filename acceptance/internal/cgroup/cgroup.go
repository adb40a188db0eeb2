// Package cgroup makes and removes the control groups that containers of the lab
// run in, in every hierarchy of the machine, of version 1 or 2.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Make makes a control group below the root of every hierarchy.
func Make(name string) error {
	roots, err := mounts()
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return errors.New("make a control group: no hierarchy of them is mounted on this machine")
	}
	for _, mount := range roots {
		if err := os.Mkdir(filepath.Join(mount, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make a control group: %w", err)
		}
	}
	return nil
}

// Remove removes a control group with all below it, whose processes have
// ended. It is no error if there is none.
func Remove(name string) error {
	roots, err := mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, mount := range roots {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(mount, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // what is gone meanwhile needs no removing
		})
		for _, dir := range slices.Backward(dirs) {
			errs = append(errs, removeEmptied(dir))
		}
	}
	return errors.Join(errs...)
}

// removeEmptied allows for the moment between the end of a process and the
// kernel's noting it.
func removeEmptied(dir string) error {
	var err error
	for range 40 {
		err = os.Remove(dir)
		if !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a control group: %w", err)
	}
	return nil
}

// mounts lists where the hierarchies are mounted.
func mounts() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("find the control groups: %w", err)
	}
	var roots []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			roots = append(roots, fields[1])
		}
	}
	return roots, nil
}
