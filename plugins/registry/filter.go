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
				Hint:    groupHint(re, group),
				Code:    "policy.extract", Path: path.Attribute("extract"),
			}
		}
	}
	return &filter{pattern: re, extract: c.Extract}, nil
}

// groupHint says how a group is named, or that a letter after the reference was read as a part of it: "$1_$2" names the group "1_".
func groupHint(re *regexp.Regexp, group string) string {
	for i := len(group) - 1; i > 0; i-- {
		if hasGroup(re, group[:i]) {
			return fmt.Sprintf("the longest name after $ counts: write ${%s}%s", group[:i], group[i:])
		}
	}
	if _, err := strconv.Atoi(group); err == nil {
		return fmt.Sprintf("the pattern has %d groups", re.NumSubexp())
	}
	return "name the group in the pattern: (?P<" + group + ">...)"
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

// exclusions are patterns of tags that do not take part.
type exclusions []*regexp.Regexp

func compileExclude(patterns []string) (exclusions, error) {
	var all exclusions
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, &sdk.Error{
				Summary: fmt.Sprintf("%q is not a regular expression", p),
				Detail:  err.Error(),
				Hint:    "the syntax is RE2: no look-ahead, no back-references",
				Code:    "policy.pattern", Path: sdk.At("exclude").Index(i),
			}
		}
		all = append(all, re)
	}
	return all, nil
}

// by returns the pattern that excludes a tag, "" if there is none.
func (e exclusions) by(tag string) string {
	for _, re := range e {
		if re.MatchString(tag) {
			return re.String()
		}
	}
	return ""
}
