package limit_test

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/davit-sh/davit/core/limit"
)

func guarded(t testing.TB, text string) hclsyntax.Expression {
	t.Helper()
	x, diags := hclsyntax.ParseExpression([]byte(text), "main.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	limit.Guard(x)
	return x
}

func newContext(l *limit.Limit) *hcl.EvalContext {
	ctx := &hcl.EvalContext{
		Functions: map[string]function.Function{"range": stdlib.RangeFunc},
		Variables: map[string]cty.Value{"list": cty.TupleVal([]cty.Value{cty.NumberIntVal(1), cty.NumberIntVal(2)}), "none": cty.UnknownVal(cty.Bool)},
	}
	if l != nil {
		l.Bind(ctx)
	}
	return ctx
}

// A guarded expression gives what it gave without the guard.
func TestGuardChangesNoResult(t *testing.T) {
	for _, text := range []string{
		"[for x in list: x * 2]", "[for x in list: x if x > 1]", "{for i, x in list: i => x}", "{for x in list: \"k\" => x...}",
		"[for x in list: x if none]", "[for x in list: [for y in list: x + y if y > x]]", "[for x in list: x if \"no bool\"]", "[for x in list: x if null]",
	} {
		plain, _ := hclsyntax.ParseExpression([]byte(text), "main.hcl", hcl.InitialPos)
		want, wantDiags := plain.Value(newContext(nil))
		for _, l := range []*limit.Limit{nil, limit.New(nil)} {
			x := guarded(t, text)
			got, diags := x.Value(newContext(l))
			if !got.RawEquals(want) || diags.Error() != wantDiags.Error() {
				t.Errorf("%s: got %#v, %v; want %#v, %v", text, got, diags, want, wantDiags)
			}
			if len(x.Variables()) != len(plain.Variables()) {
				t.Errorf("%s: the guard changes the variables", text)
			}
		}
	}
}

const huge = "[for a in range(1000): [for b in range(1000): [for c in range(1000): a + b + c]]]"

func TestAnEvaluationOverTooManyElementsEnds(t *testing.T) {
	l := limit.New(nil)
	l.SetMost(10_000)
	_, diags := guarded(t, huge).Value(newContext(l))
	if len(diags) != 1 || diags[0].Summary != "A for expression is too large" || l.Exceeded() != diags[0] {
		t.Errorf("got %v, %v", diags, l.Exceeded())
	}
}

// An evaluation that was stopped ends at the next check: here it has been before it began.
func TestAStoppedEvaluationEnds(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	l := limit.New(stop)
	_, diags := guarded(t, huge).Value(newContext(l))
	if len(diags) != 1 || diags[0].Summary != "Interrupted" || l.Exceeded() == nil {
		t.Errorf("got %v", diags)
	}
}

func BenchmarkFor(b *testing.B) {
	const text = "[for a in range(1000): a + 1]"
	plain, _ := hclsyntax.ParseExpression([]byte(text), "main.hcl", hcl.InitialPos)
	for name, x := range map[string]hclsyntax.Expression{"plain": plain, "guarded": guarded(b, text)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				x.Value(newContext(limit.New(nil)))
			}
		})
	}
}

// Whatever stands behind the word, a for expression that hcl reads is one that MayLoop sees.
func TestMayLoopSeesEveryForExpression(t *testing.T) {
	seen := 0
	for b := range 256 {
		for _, after := range []string{string(rune(b)), string([]byte{byte(b)}), string(rune(b)) + "\n", string(rune(b)) + "* c */"} {
			for _, text := range []string{"[for" + after + "x in list: x]", "{for" + after + "k, v in list: k => v}", "\"%{for" + after + "x in list}${x}%{endfor}\"", "\"%{~for" + after + "x in list}${x}%{endfor}\""} {
				x, diags := hclsyntax.ParseExpression([]byte(text), "main.hcl", hcl.InitialPos)
				if diags.HasErrors() {
					continue
				}
				_ = hclsyntax.VisitAll(x, func(n hclsyntax.Node) hcl.Diagnostics {
					if _, is := n.(*hclsyntax.ForExpr); is {
						seen++
						if !limit.MayLoop([]byte(text)) {
							t.Errorf("%q has a for expression", text)
						}
					}
					return nil
				})
			}
		}
	}
	if seen < 20 {
		t.Fatalf("only %d of the texts have a for expression", seen)
	}
	for _, text := range []string{"", "for", "for_each = [1]", "format = x.fortune", "before=1"} {
		if limit.MayLoop([]byte(text)) {
			t.Errorf("%q has no for expression", text)
		}
	}
}
