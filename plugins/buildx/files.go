package buildx

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// selectFiles finds the files that take part in the content key: those that the triggers name, or all
// that the Dockerfile could copy; and always the Dockerfile and what it ignores.
func selectFiles(context *tree.Tree, c Config) (files []tree.Entry, unmatched []string, err error) {
	ignored, ignoreFile, err := readIgnored(context, c)
	if err != nil {
		return nil, nil, err
	}
	if len(c.Triggers) > 0 {
		if files, unmatched, err = context.Match(c.Triggers...); err != nil {
			return nil, nil, &sdk.Error{Summary: "matching triggers", Path: sdk.At("triggers"), Err: err}
		}
		files = append(files, linked(context, files)...)
	} else {
		for _, e := range context.Entries() {
			if skip, err := ignored.MatchesOrParentMatches(e.Path); err != nil {
				return nil, nil, ignoreError(ignoreFile, err)
			} else if !skip {
				files = append(files, e)
			}
		}
	}
	for _, e := range context.Entries() {
		if e.Path == c.Dockerfile || e.Path == ignoreFile {
			files = append(files, e)
		}
	}
	slices.SortFunc(files, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(files, func(a, b tree.Entry) bool { return a.Path == b.Path }), unmatched, nil
}

// readIgnored reads DOCKERFILE.dockerignore, or else .dockerignore, as BuildKit does. name is the file that was read.
func readIgnored(context *tree.Tree, c Config) (ignored *patternmatcher.PatternMatcher, name string, err error) {
	var patterns []string
	for _, name = range []string{c.Dockerfile + ".dockerignore", ".dockerignore"} {
		text, err := context.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			patterns, err = ignorefile.ReadAll(bytes.NewReader(text))
		}
		if err != nil {
			return nil, name, ignoreError(name, err)
		}
		break
	}
	if ignored, err = patternmatcher.New(patterns); err != nil {
		return nil, name, ignoreError(name, err)
	}
	return ignored, name, nil
}

func ignoreError(name string, err error) error {
	return &sdk.Error{Summary: fmt.Sprintf("%s cannot be read", name), Path: sdk.At("context"), Code: "buildx.dockerignore", Err: err}
}

// linked are the files of the context that links lead to: COPY follows links.
func linked(context *tree.Tree, files []tree.Entry) []tree.Entry {
	var found []tree.Entry
	seen := map[string]bool{}
	for todo := files; len(todo) > 0; todo = todo[1:] {
		if todo[0].Link == "" || seen[todo[0].Path] {
			continue
		}
		seen[todo[0].Path] = true
		target := path.Join(path.Dir(todo[0].Path), todo[0].Link)
		for _, e := range context.Entries() {
			if e.Path == target || strings.HasPrefix(e.Path, target+"/") {
				found = append(found, e)
				todo = append(slices.Clip(todo), e)
			}
		}
	}
	return found
}
