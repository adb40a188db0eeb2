package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsimple"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/modules"
)

// lockedPlugin is an entry of the lock file.
type lockedPlugin struct {
	Name    string `hcl:"name,label"`
	Source  string `hcl:"source"`
	Version string `hcl:"version"`
	SHA256  string `hcl:"sha256"`
}

// lockFile is davit.lock.hcl: what was found by davit init, so that everybody has the same.
type lockFile struct {
	Plugins []lockedPlugin   `hcl:"plugin,block"`
	Modules []modules.Locked `hcl:"module,block"`
}

func (l lockFile) plugin(name string) (lockedPlugin, bool) {
	for _, p := range l.Plugins {
		if p.Name == name {
			return p, true
		}
	}
	return lockedPlugin{}, false
}

// readLock reads the lock file. None is an empty one.
func readLock(dir string) (lockFile, error) {
	var l lockFile
	src, err := os.ReadFile(filepath.Join(dir, config.LockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	if err := hclsimple.Decode(config.LockFile, src, nil, &l); err != nil {
		return l, fmt.Errorf("%s cannot be read; remove it and run davit init: %w", config.LockFile, err)
	}
	return l, nil
}

func writeLock(dir string, l lockFile) error {
	f := hclwrite.NewEmptyFile()
	gohcl.EncodeIntoBody(&l, f.Body())
	text := "# Written by davit init. Commit it with the stack.\n" + string(f.Bytes())
	path := filepath.Join(dir, config.LockFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return replaceFile(path, []byte(text), 0o600)
}
