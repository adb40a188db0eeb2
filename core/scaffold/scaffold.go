// Package scaffold writes the beginnings of a plugin: a module that builds, with its test and its examples for
// davit plugin test.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed all:files
var files embed.FS

// Options say what is written.
type Options struct {
	Dir     string // a new folder
	Name    string // of the plugin
	Kind    string
	Module  string // path of the Go module; empty: davit-NAME
	Version string // of davit, as a Go module: "v0.1.0"
	Replace string // absolute path of a copy of davit's source to build with; empty: none
}

var reName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// Kinds returns the kinds of which there is a beginning.
func Kinds() []string {
	var kinds []string
	entries, _ := files.ReadDir("files") // it is there: it is embedded
	for _, e := range entries {
		if e.IsDir() && e.Name() != "all" {
			kinds = append(kinds, e.Name())
		}
	}
	return kinds
}

// Write writes a plugin, and returns the names of its files in order. A folder that has something in it is left alone.
func Write(o Options) ([]string, error) {
	if !reName.MatchString(o.Name) {
		return nil, fmt.Errorf("%q is not a name of a plugin: use lower-case letters, digits, - and _", o.Name)
	}
	if !slices.Contains(Kinds(), o.Kind) {
		return nil, fmt.Errorf("there is no kind %q: choose one of %s", o.Kind, strings.Join(Kinds(), ", "))
	}
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("the folder %s is not empty: name another one", o.Dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if o.Module == "" {
		o.Module = "davit-" + o.Name
	}
	if o.Replace != "" {
		if err := CheckSource(o.Replace); err != nil {
			return nil, err
		}
	}
	var written []string
	for _, from := range []string{"files/all", "files/" + o.Kind} {
		err := fs.WalkDir(files, from, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := files.ReadFile(name)
			if err != nil {
				return err
			}
			to := strings.TrimSuffix(strings.TrimPrefix(name, from+"/"), ".tmpl")
			to = strings.Replace(to, "dot.", ".", 1)
			written = append(written, to)
			full := filepath.Join(o.Dir, filepath.FromSlash(to))
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil { //nolint:gosec // source code, as anybody's
				return err
			}
			return os.WriteFile(full, []byte(o.fill(string(b))), 0o644) //nolint:gosec // as above
		})
		if err != nil {
			return nil, err
		}
	}
	if o.Replace != "" {
		if err := Complete(o.Dir, o.Replace); err != nil {
			return nil, err
		}
		written = append(written, "go.sum")
	}
	slices.Sort(written)
	return written, nil
}

// fill puts the names into a text.
func (o Options) fill(text string) string {
	return strings.NewReplacer(
		"{{name}}", o.Name, "{{type}}", strings.ReplaceAll(o.Name, "-", "_"), "{{kind}}", o.Kind, "{{module}}", o.Module,
		"{{binary}}", path.Base(o.Module), "{{version}}", o.Version,
	).Replace(text)
}
