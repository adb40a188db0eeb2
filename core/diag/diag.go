// Package diag makes diagnostics: what is wrong, in which block and line, and what to do.
package diag

import (
	"fmt"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
)

// Info is the Extra of a diagnostic: what machines and views want to know besides the text.
type Info struct {
	Address string // of the instance
	Code    string // stable: "registry.unauthorized"
	Hint    string // what to do next
}

// Errorf makes an error about a place in the configuration.
func Errorf(at hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at.Ptr()}
}

// Plain makes an error that has no place in the configuration.
func Plain(summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail}
}

// InfoOf returns what a diagnostic says besides its text.
func InfoOf(d *hcl.Diagnostic) Info {
	i, _ := d.Extra.(Info)
	return i
}

// DidYouMean returns ` Did you mean "x"?` for the name that is nearest to a misspelt one, or nothing.
func DidYouMean(got string, among []string) string {
	sort.Strings(among)
	best, distance := "", 4
	for _, name := range among {
		// The shorter the name, the fewer mistakes make it another one.
		limit := min(3, 1+len(name)/3)
		if d := levenshtein.Distance(strings.ToLower(got), strings.ToLower(name), nil); d < distance && d <= limit {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}
