package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed says which parts of the project each part may import. What is not named may import nothing of it.
var allowed = map[string][]string{
	"cmd":        {"cmd", "core", "plugins", "internal", "sdk", "state", "schemas"},
	"core":       {"core", "internal", "sdk", "state", "schemas"},
	"plugins":    {"plugins", "internal", "sdk", "schemas"},
	"internal":   {"internal", "sdk", "schemas"}, // what core and plugins share: registries, texts
	"sdk":        {"sdk", "schemas"},
	"state":      {"state", "schemas"},
	"schemas":    {"schemas"},
	"examples":   {"sdk"},
	"acceptance": {"acceptance", "state"},
	"docs":       {"core", "sdk", "schemas"}, // tests of what the pages say
}

// rooms says which rooms of the engine each room may import: only those below it. The engine's own package may import all of them.
var rooms = map[string][]string{
	"types":   {},
	"secret":  {"types"},
	"order":   {},
	"claims":  {},
	"input":   {"types", "secret"},
	"record":  {"types", "secret", "input", "order", "claims"},
	"world":   {"types", "secret", "input"},
	"service": {"types", "secret", "world"},
	"trigger": {"secret", "record", "world"},
	"check":   {"types", "input", "world", "service"},
	"choose":  {"types", "world", "service"},
	"look":    {"types", "secret", "input", "record", "world", "service", "trigger", "choose"},
	"draft":   {"types", "input", "record", "world", "service", "look", "order", "claims"},
	"carry":   {"types", "secret", "input", "record", "world", "service", "trigger", "look", "draft", "order", "claims"},
	"tell":    {"types", "secret", "input", "record", "world", "service"},
}

// largestRoom is how many lines the code of a package of the engine may have.
const largestRoom = 2500

// The rooms of the engine import only rooms below them, nobody outside imports those that decide and act, and none of them grows into one
// that knows everything.
func TestRoomsOfTheEngine(t *testing.T) {
	const prefix = "github.com/davit-sh/davit/core/engine/"
	dir := filepath.Join("..", "..", "core", "engine")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		may, known := rooms[e.Name()]
		if !known {
			t.Errorf("%s is no room that this test knows: say which rooms it may import", e.Name())
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, e.Name(), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(src, []byte("\n"))
			f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				imported, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				room, inside := strings.CutPrefix(imported, prefix)
				if inside && !slices.Contains(may, room) || imported+"/" == prefix {
					t.Errorf("%s imports %s: the room may import only %v", name, imported, may)
				}
			}
		}
		if lines > largestRoom {
			t.Errorf("%s has %d lines, more than %d: find the second idea in it", e.Name(), lines, largestRoom)
		}
	}
}

// foreign are libraries that a part must not know.
var foreign = map[string][]string{
	"state": {"github.com/hashicorp/hcl", "github.com/zclconf"},
	"sdk":   {"github.com/hashicorp/hcl"},
}

// Imports point one way: cmd -> core -> {sdk, state, schemas}, plugins -> sdk -> schemas.
func TestImportsPointOneWay(t *testing.T) {
	const module = "github.com/davit-sh/davit/"
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		part, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		may, known := allowed[part]
		if !known {
			t.Errorf("%s: %s is no part of the project's layout", rel, part)
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			for _, bad := range foreign[part] {
				if strings.HasPrefix(imported, bad) {
					t.Errorf("%s imports %s, which %s must not know", rel, imported, part)
				}
			}
			if own, ok := strings.CutPrefix(imported, module); ok {
				to, _, _ := strings.Cut(own, "/")
				if !slices.Contains(may, to) {
					t.Errorf("%s imports %s: %s may import only %v", rel, imported, part, may)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}
