package registry

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/davit-sh/davit/sdk"
)

// filterConfig narrows the tags that take part, and says which part of them is compared.
type filterConfig struct {
	Pattern string `davit:"pattern" doc:"Regular expression (RE2) that a tag must match. It is not anchored: write ^ and $."`
	Extract string `davit:"extract,optional" doc:"Text to compare instead of the whole tag: \"$1\" or \"$name\" of a group in the pattern."`
}

// filter is a checked filterConfig. nil lets all tags through whole.
type filter struct {
	pattern *regexp.Regexp
	extract string
}

// reReference finds the group references of a template as regexp.Expand reads them.
var reReference = regexp.MustCompile(`\$\$|\$(\w+)|\$\{(\w+)\}`)

// compileFilter checks c. path leads to it; nil is the block itself.
func compileFilter(c *filterConfig, path sdk.Path) (*filter, error) {
	if c == nil {
		return nil, nil
	}
	re, err := regexp.Compile(c.Pattern)
	if err != nil {
		return nil, &sdk.Error{
			Summary: fmt.Sprintf("%q is not a regular expression", c.Pattern),
			Detail:  err.Error(),
			Hint:    "the syntax is RE2: no look-ahead, no back-references",
			Code:    "policy.pattern", Path: path.Attribute("pattern"),
		}
	}
	for _, m := range reReference.FindAllStringSubmatch(c.Extract, -1) {
		if group := m[1] + m[2]; group != "" && !hasGroup(re, group) {
			return nil, &sdk.Error{
				Summary: fmt.Sprintf("extract names the group %q, which the pattern %q does not have", group, c.Pattern),
				Hint:    "name the group in the pattern: (?P<" + group + ">...)",
				Code:    "policy.extract", Path: path.Attribute("extract"),
			}
		}
	}
	return &filter{pattern: re, extract: c.Extract}, nil
}

func hasGroup(re *regexp.Regexp, group string) bool {
	if n, err := strconv.Atoi(group); err == nil {
		return n <= re.NumSubexp()
	}
	return re.SubexpIndex(group) >= 0
}

// part returns what of a tag is compared, or why the tag does not take part.
func (f *filter) part(tag string) (part, refused string) {
	if f == nil {
		return tag, ""
	}
	m := f.pattern.FindStringSubmatchIndex(tag)
	if m == nil {
		return "", "does not match " + f.pattern.String()
	}
	if f.extract == "" {
		return tag, ""
	}
	part = string(f.pattern.ExpandString(nil, f.extract, tag, m))
	if part == "" {
		return "", fmt.Sprintf("%s extracts an empty text from it", f.extract)
	}
	return part, ""
}

// words adds the filter to a reason: " matching ^main-".
func (f *filter) words() string {
	if f == nil {
		return ""
	}
	return " matching " + f.pattern.String()
}
