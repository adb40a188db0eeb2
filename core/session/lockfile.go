package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsimple"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/modules"
)

// LockFile is davit.lock.hcl: what was found by davit init, so that everybody has the same.
type LockFile struct {
	Plugins []install.Locked `hcl:"plugin,block"`
	Modules []modules.Locked `hcl:"module,block"`
}

// Plugin is a plugin's entry, nil if there is none.
func (l LockFile) Plugin(name string) *install.Locked {
	for i := range l.Plugins {
		if l.Plugins[i].Name == name {
			return &l.Plugins[i]
		}
	}
	return nil
}

// ReadLockFile reads the lock file. None is an empty one.
func ReadLockFile(dir string) (LockFile, error) {
	var l LockFile
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
	for _, p := range l.Plugins {
		if err := p.Check(); err != nil {
			return l, fmt.Errorf("%s: %w", config.LockFile, err)
		}
	}
	return l, nil
}

// WriteLockFile writes the lock file of a stack, which the team may read.
func WriteLockFile(dir string, l LockFile) error {
	f := hclwrite.NewEmptyFile()
	for _, p := range l.Plugins {
		writePlugin(f.Body(), p)
	}
	for _, m := range l.Modules {
		f.Body().AppendBlock(gohcl.EncodeAsBlock(&m, "module"))
	}
	text := "# Written by davit init. Commit it with the stack.\n" + string(f.Bytes())
	path := filepath.Join(dir, config.LockFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return ReplaceFile(path, []byte(text), 0o644)
}

// writePlugin writes an entry without what it does not have.
func writePlugin(to *hclwrite.Body, p install.Locked) {
	body := to.AppendNewBlock("plugin", []string{p.Name}).Body()
	for _, a := range []struct{ name, value string }{
		{"source", p.Source}, {"version", p.Version}, {"constraint", p.Constraint}, {"sha256", p.SHA256},
		{"digest", p.Digest}, {"public_key", p.PublicKey},
	} {
		if a.value != "" || a.name == "version" {
			body.SetAttributeValue(a.name, cty.StringVal(a.value))
		}
	}
	if len(p.Platforms) == 0 {
		return
	}
	sums := map[string]cty.Value{}
	for platform, sum := range p.Platforms {
		sums[platform] = cty.StringVal(sum)
	}
	body.SetAttributeValue("platforms", cty.MapVal(sums))
}
