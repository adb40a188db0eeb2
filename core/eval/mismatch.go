package eval

import (
	"errors"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/plan"
)

// mismatch completes the sentence "The argument x must be ..." for a value that cannot be converted to a type: "a string, not a
// tuple". err is the error of the conversion: when it is about a part of the value, its path and its problem are named.
func mismatch(want cty.Type, got cty.Value, err error) string {
	text := withArticle(want.FriendlyNameForConstraint())
	var at cty.PathError
	if errors.As(err, &at) && len(at.Path) > 0 {
		return text + ": " + plan.PathString(at.Path) + " " + problemOf(at.Error())
	}
	if at, problem, found := strings.Cut(err.Error(), ": "); found && !strings.Contains(at, " required") { // "element 1: string required"
		return text + ": " + at + " " + problemOf(problem)
	}
	text += ", not " + withArticle(got.Type().FriendlyName())
	if _, more, found := strings.Cut(err.Error(), "; "); found {
		text += ": " + more
	}
	return text
}

// problemOf rewords an error of a conversion, such as "string required, but have tuple": "must be a string, not a tuple".
func problemOf(text string) string {
	if want, got, found := strings.Cut(text, " required, but have "); found {
		return "must be " + withArticle(want) + ", not " + withArticle(got)
	}
	if want, found := strings.CutSuffix(text, " is required"); found {
		return "must be " + withArticle(want)
	}
	if want, found := strings.CutSuffix(text, " required"); found {
		return "must be " + withArticle(want)
	}
	return "does not fit: " + text
}

// withArticle puts an article before the name of a type.
func withArticle(name string) string {
	switch {
	case name == "" || strings.HasPrefix(name, "a ") || strings.HasPrefix(name, "an ") || strings.HasPrefix(name, "any ") || name == "dynamic":
		return name
	case strings.ContainsRune("aeiou", rune(name[0])):
		return "an " + name
	}
	return "a " + name
}
