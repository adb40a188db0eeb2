package main

import (
	"go/parser"
	"go/token"
	"io/fs"
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
