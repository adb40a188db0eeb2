package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const davitModule = "github.com/davit-sh/davit"

// CheckSource returns an error if dir is not a copy of davit's source.
func CheckSource(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("the folder %s does not exist: it must be a copy of davit's source", dir)
		}
		return fmt.Errorf("the folder %s has no go.mod: it must be a copy of davit's source", dir)
	case err != nil:
		return err
	}
	if !strings.HasPrefix(string(b), "module "+davitModule+"\n") {
		return fmt.Errorf("the folder %s is another module than %s: it must be a copy of davit's source", dir, davitModule)
	}
	return nil
}

// Complete makes the Go module in dir build with the copy of davit in source, without a network: go.mod requires what davit
// requires in the same versions, and go.sum is davit's. With all requirements in go.mod the go command reads that of
// no further module, so what davit was built with is enough.
func Complete(dir, source string) error {
	if err := CheckSource(source); err != nil {
		return err
	}
	own, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	davit, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	version := "v0.0.0"
	for line := range strings.Lines(string(own)) {
		if f := strings.Fields(strings.TrimPrefix(line, "require ")); len(f) >= 2 && f[0] == davitModule {
			version = f[1]
		}
	}
	_, requirements, found := strings.Cut(string(davit), "\nrequire ")
	if !found {
		return fmt.Errorf("%s requires nothing", filepath.Join(source, "go.mod"))
	}
	text := fmt.Sprintf("%s\n%s\nrequire %s %s\n\nreplace %s => %s\n\nrequire %s",
		directive(string(own), "module "), directive(string(davit), "go "), davitModule, version, davitModule, source, requirements)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil { //nolint:gosec // source code, as anybody's
		return err
	}
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o644) //nolint:gosec // as above
}

// directive returns the line of a go.mod that begins with a word.
func directive(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, word) {
			return line
		}
	}
	return ""
}
