package docs_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	reCode  = regexp.MustCompile("`([A-Za-z0-9_./{},]+)`")
	reBrace = regexp.MustCompile(`^(.*)\{(.*)\}(.*)$`)
)

// TestArchitectureNamesRealFiles checks that every Go file in the tables of ARCHITECTURE.md exists. A name without a folder is
// in the folder of the name before it.
func TestArchitectureNamesRealFiles(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		folder := ""
		for _, m := range reCode.FindAllStringSubmatch(line, -1) {
			for _, name := range alternatives(m[1]) {
				if !strings.HasSuffix(name, ".go") {
					continue
				}
				if strings.Contains(name, "/") {
					folder = path.Dir(name)
				} else {
					name = path.Join(folder, name)
				}
				if _, err := os.Stat("../" + name); err != nil {
					t.Errorf("%s does not exist: %s", name, strings.TrimSpace(line))
				}
				found++
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d files were found in the tables", found)
	}
}

// alternatives expands one pair of braces: a/{b,c}.go is a/b.go and a/c.go.
func alternatives(name string) []string {
	m := reBrace.FindStringSubmatch(name)
	if m == nil {
		return []string{name}
	}
	var all []string
	for part := range strings.SplitSeq(m[2], ",") {
		all = append(all, m[1]+part+m[3])
	}
	return all
}
