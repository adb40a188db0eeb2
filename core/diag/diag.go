// Package diag makes diagnostics: what is wrong, in which block and line, and what to do.
package diag

import (
	"fmt"
	"slices"
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
	Same    string // what the same mistake in other instances has too; "" is its text
}

// OfInstance is a diagnostic of a place in the configuration, in one of several instances. Others with the same of the same place are the same mistake.
func OfInstance(d *hcl.Diagnostic, address, same string) *hcl.Diagnostic {
	out := *d
	if d.Subject != nil {
		same = d.Subject.String() + "\x00" + same
	}
	out.Extra = Info{Address: address, Same: same}
	return &out
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

// Fold puts warnings before errors and makes one diagnostic of those that differ in their instance only. What is said of
// several places of one instance stays apart.
func Fold(diags hcl.Diagnostics) hcl.Diagnostics {
	type key struct {
		severity       hcl.DiagnosticSeverity
		code, text, at string
		nth            int // of the places of an instance
	}
	type about struct {
		key
		address string
	}
	var order []key
	same := map[key]hcl.Diagnostics{}
	places := map[about][]string{}
	for _, d := range diags {
		info := InfoOf(d)
		k := key{severity: d.Severity, code: info.Code, text: info.Same}
		if k.text == "" {
			k.text = bare(d.Summary, info.Address) + "\x00" + bare(d.Detail, info.Address) + "\x00" + info.Hint
		}
		switch {
		case d.Subject == nil:
		case info.Address == "":
			k.at = d.Subject.String()
		default:
			of, place := about{k, info.Address}, d.Subject.String()
			if k.nth = slices.Index(places[of], place); k.nth < 0 {
				k.nth = len(places[of])
				places[of] = append(places[of], place)
			}
		}
		if _, seen := same[k]; !seen {
			order = append(order, k)
		}
		same[k] = append(same[k], d)
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].severity == hcl.DiagWarning && order[j].severity == hcl.DiagError })
	out := make(hcl.Diagnostics, 0, len(order))
	for _, k := range order {
		out = append(out, folded(same[k]))
	}
	return out
}

// bare is a text without the instance that it speaks of.
func bare(text, address string) string {
	if address == "" {
		return text
	}
	return strings.ReplaceAll(text, address, "\x00")
}

// named is how many of many instances are named.
const named = 3

func folded(list hcl.Diagnostics) *hcl.Diagnostic {
	first := list[0]
	var addresses []string
	seen := map[string]bool{}
	for _, d := range list {
		if a := InfoOf(d).Address; a != "" && !seen[a] {
			seen[a] = true
			addresses = append(addresses, a)
		}
	}
	sort.Strings(addresses)
	info := InfoOf(first)
	if len(addresses) < 2 && (info.Same == "" || strings.Contains(first.Detail, info.Address)) {
		return first
	}
	out := *first
	if len(addresses) > 1 {
		out.Summary = fmt.Sprintf("%d instances: %s", len(addresses), strings.TrimPrefix(first.Summary, info.Address+": "))
	}
	out.Detail = strings.TrimSpace(first.Detail + "\n\nThis is about " + Some(addresses) + ".")
	return &out
}

// Some names the first few of many.
func Some(addresses []string) string {
	some := strings.Join(addresses[:min(named, len(addresses))], ", ")
	if n := len(addresses) - named; n > 0 {
		some += fmt.Sprintf(" and %d more", n)
	}
	return some
}

// AsWarnings returns copies of diagnostics as warnings. The diagnostics themselves are left as they are: others may have the same ones.
func AsWarnings(diags hcl.Diagnostics) hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		own := *d
		own.Severity = hcl.DiagWarning
		out[i] = &own
	}
	return out
}
