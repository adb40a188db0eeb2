package diag_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
)

func about(severity hcl.DiagnosticSeverity, address, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: detail, Extra: diag.Info{Address: address}}
}

// The same error of 200 instances is one, that says how many there are and names some.
func TestFold(t *testing.T) {
	var diags hcl.Diagnostics
	for i := range 200 {
		a := fmt.Sprintf("application.kubernetes.api[%d]", i)
		diags = append(diags, about(hcl.DiagError, a, a+": the registry refused the login", "While reading "+a+"."))
	}
	diags = append(diags,
		about(hcl.DiagError, "source.git.repo", "source.git.repo: it is empty", ""),
		about(hcl.DiagWarning, "", "A warning", ""),
		about(hcl.DiagError, "application.kubernetes.api[0]", "application.kubernetes.api[0]: something else", ""),
		&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No such block", Subject: &hcl.Range{Filename: "a.hcl"}},
		&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No such block", Subject: &hcl.Range{Filename: "b.hcl"}},
		&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No such block", Subject: &hcl.Range{Filename: "b.hcl"}},
	)
	var got []string
	folded := diag.Fold(diags)
	for _, d := range folded {
		got = append(got, d.Summary)
	}
	want := "A warning; 200 instances: the registry refused the login; source.git.repo: it is empty; application.kubernetes.api[0]: something else; No such block; No such block"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	const detail = "While reading application.kubernetes.api[0].\n\nThis is about application.kubernetes.api[0], application.kubernetes.api[100], application.kubernetes.api[101] and 197 more."
	if folded[1].Detail != detail {
		t.Errorf("%q", folded[1].Detail)
	}
	if diags[0].Summary != "application.kubernetes.api[0]: the registry refused the login" {
		t.Error("the diagnostics that were given have changed")
	}
}

func TestFoldInstancesOfAPlace(t *testing.T) {
	at := func(line int) *hcl.Diagnostic {
		return diag.Errorf(hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: line}}, "Invalid index", "There is no such key.")
	}
	folded := diag.Fold(hcl.Diagnostics{
		diag.OfInstance(at(1), `x["a"]`, "index"),
		diag.OfInstance(at(1), `x["b"]`, "index"),
		diag.OfInstance(at(2), `x["b"]`, "index"),
		diag.OfInstance(diag.Errorf(hcl.Range{}, "Gone", `x["c"] needs y["c"].`), `x["c"]`, "y"),
	})
	var got []string
	for _, d := range folded {
		got = append(got, d.Summary+": "+d.Detail)
	}
	want := []string{
		"2 instances: Invalid index: There is no such key.\n\nThis is about x[\"a\"], x[\"b\"].",
		"Invalid index: There is no such key.\n\nThis is about x[\"b\"].",
		"Gone: x[\"c\"] needs y[\"c\"].",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// What several instances have at the same places is one of each place.
func TestFoldKeepsPlacesApart(t *testing.T) {
	var diags hcl.Diagnostics
	for _, address := range []string{"application.a.x[0]", "application.a.x[1]"} {
		for _, line := range []int{3, 5, 5} {
			d := about(hcl.DiagError, address, address+": it is too long", "")
			d.Subject = &hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: line}}
			diags = append(diags, d)
		}
	}
	folded := diag.Fold(diags)
	if len(folded) != 2 || folded[0].Subject.Start.Line != 3 || folded[1].Subject.Start.Line != 5 || folded[0].Summary != "2 instances: it is too long" {
		t.Errorf("%+v", folded)
	}
	if one := diag.Fold(diags[:3]); len(one) != 2 || one[1].Subject.Start.Line != 5 {
		t.Errorf("of one instance: %+v", one)
	}
}

func TestDidYouMean(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{"kubernetse", ` Did you mean "kubernetes"?`}, {"Git", ` Did you mean "git"?`}, {"x", ""}, {"something", ""},
	} {
		if s := diag.DidYouMean(c.got, []string{"git", "kubernetes", "registry"}); s != c.want {
			t.Errorf("%s: %q, want %q", c.got, s, c.want)
		}
	}
}
