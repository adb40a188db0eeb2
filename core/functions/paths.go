package functions

import (
	"os"
	"path"
	"path/filepath"
	text "strings"

	"github.com/zclconf/go-cty/cty/function"
)

var (
	basename = oneText("The last part of a path.", func(s string) (string, error) { return path.Base(s), nil })
	dirname  = oneText("A path without its last part.", func(s string) (string, error) { return path.Dir(s), nil })

	pathExpand = oneText("A path with a leading ~ replaced by the home directory of the user who runs davit.", func(s string) (string, error) {
		if s != "~" && !text.HasPrefix(s, "~/") {
			if text.HasPrefix(s, "~") {
				return "", function.NewArgErrorf(0, "only ~ and ~/ are supported, not the home directory of another user")
			}
			return s, nil
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return "", function.NewArgErrorf(0, "the user has no home directory: set HOME")
		}
		return filepath.Join(home, s[1:]), nil
	})
)

// absPath makes abspath, which takes relative paths from the stack's folder.
func absPath(stack string) function.Function {
	return oneText("An absolute path. A relative one starts at the stack's folder.", func(s string) (string, error) {
		if !filepath.IsAbs(s) {
			s = filepath.Join(stack, s)
		}
		s, err := filepath.Abs(s)
		return filepath.ToSlash(s), err
	})
}
