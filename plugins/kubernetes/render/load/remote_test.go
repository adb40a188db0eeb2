package load

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"sigs.k8s.io/kustomize/api/types"
)

// kustomizeClones is Kustomize's own test for what it clones: a nil error.
//
//go:linkname kustomizeClones sigs.k8s.io/kustomize/api/internal/git.NewRepoSpecFromURL
func kustomizeClones(entry string) (unsafe.Pointer, error)

// kustomizeFetches is Kustomize's own test for what it fetches over HTTP.
//
//go:linkname kustomizeFetches sigs.k8s.io/kustomize/api/internal/loader.IsRemoteFile
func kustomizeFetches(entry string) bool

func takenForRemote(entry string) bool {
	_, err := kustomizeClones(entry)
	return err == nil || kustomizeFetches(entry)
}

// Kustomize's own tests have the entries that it must take for remote. All texts in them are tried, and what can be made of them.
func TestRemoteIsWhatKustomizeFetches(t *testing.T) {
	var clones int
	for _, entry := range kustomizeTexts(t) {
		for _, variant := range []string{entry, strings.ToUpper(entry), "git::" + entry, entry + "//base?ref=x", "./" + entry, "x/" + entry, entry + "\nkind: X"} {
			if !takenForRemote(variant) {
				continue
			}
			clones++
			if !remote(variant) || objection("app", variant) == "" {
				t.Errorf("Kustomize would fetch %q, and it is not refused", variant)
			}
		}
	}
	if clones < 500 {
		t.Errorf("Kustomize's tests have only %d remote entries: are they still where they were?", clones)
	}
}

// What people write is not refused.
func TestEntriesOfTheSource(t *testing.T) {
	for _, entry := range []string{"a.yaml", "./a.yaml", "base", "base/", "./base/", "../base", "../../base", "a-b_c.d/e.yaml", "github/x", "http", "x@y/a.yaml"[1:]} {
		if why := objection("overlays/prod", entry); why != "" {
			t.Errorf("%q is refused: %s", entry, why)
		}
	}
}

// kustomizeTexts are the string literals of Kustomize's tests of Git addresses and of its loader.
func kustomizeTexts(t *testing.T) []string {
	out, err := exec.Command("go", "list", "-f", "{{.Module.Dir}}", "sigs.k8s.io/kustomize/api/krusty").Output()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, file := range []string{"internal/git/repospec_test.go", "internal/loader/fileloader_test.go"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					texts = append(texts, s)
				}
			}
			return true
		})
	}
	return texts
}

func FuzzRemote(f *testing.F) {
	for _, entry := range []string{"git::https://h/a/b", "g\u0130thub.com/a/b", "u@h:a/b", "FILE:///x?ref=--x", "http:x", "a.yaml", "\u017fsh://h/a/b"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if takenForRemote(entry) && objection("app", entry) == "" {
			t.Errorf("Kustomize would fetch %q, and it is not refused", entry)
		}
	})
}

// A field that a new Kustomize has must be looked at before it is used.
func TestEveryFieldOfAKustomizationIsKnown(t *testing.T) {
	checked := []string{
		"OpenAPI", "HelmCharts", "HelmChartInflationGenerator", "HelmGlobals", "Resources", "Bases", "Components", "Crds", "Configurations",
		"Patches", "PatchesJson6902", "PatchesStrategicMerge", "Replacements", "ConfigMapGenerator", "SecretGenerator", "Generators", "Transformers", "Validators",
	}
	for field := range reflect.TypeFor[types.Kustomization]().Fields() {
		if slices.Contains(checked, field.Name) == slices.Contains(harmless, field.Name) {
			t.Errorf("the field %s of a kustomization is not known, or twice: can it name what is not in the source?", field.Name)
		}
	}
}
