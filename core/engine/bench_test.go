package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// direct is a plugin without a process or a wire: what is measured with it is the engine.
type direct struct{ *client }

func (d direct) Plan(_ context.Context, r *pluginv1.PlanRequest, _ func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	v := cty.ObjectVal(map[string]cty.Value{
		"revision": cty.StringVal("1"), "health": cty.StringVal("Current"), "items": cty.ListVal([]cty.Value{cty.StringVal("x")}), "sum": cty.StringVal(r.GetAddress()),
		"token": cty.NullVal(cty.String),
	})
	outputs, err := eval.EncodeValue(v)
	res := &pluginv1.PlanResult{Action: pluginv1.Action_ACTION_CREATE, Outputs: outputs}
	if r.GetPrior() != nil {
		res.Action = pluginv1.Action_ACTION_NONE
	}
	return res, err
}

func (d direct) Apply(_ context.Context, r *pluginv1.ApplyRequest, _ func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error) {
	return &pluginv1.ApplyResult{Outputs: r.GetPlanned()}, nil
}

type directly struct{ direct }

func (d directly) Client(context.Context, string) (engine.Client, error) { return d.direct, nil }

// shapes are stacks of n instances: separate blocks in chains of ten, one block with for_each, and a pair in which
// each instance of one reads one of the other.
var shapes = map[string]func(n int) string{
	"chains": func(n int) string {
		var b strings.Builder
		for i := range n {
			content := `"x"`
			if i%10 > 0 {
				content = fmt.Sprintf("application.a.n%d.sum", i-1)
			}
			fmt.Fprintf(&b, "application \"a\" \"n%d\" {\n  name    = \"n%d\"\n  content = %s\n}\n", i, i, content)
		}
		return b.String()
	},
	"each": func(n int) string {
		return "application \"a\" \"n\" {\n  for_each = " + keys(n) + "\n  name     = each.key\n  content  = \"x\"\n}\n"
	},
	"pair": func(n int) string {
		return "locals {\n  keys = " + keys(n/2) + "\n}\napplication \"a\" \"a\" {\n  for_each = local.keys\n  name     = each.key\n  content  = \"x\"\n}\n" +
			"application \"a\" \"b\" {\n  for_each = local.keys\n  name     = \"b${each.key}\"\n  content  = application.a.a[each.key].sum\n}\n"
	},
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%q,", fmt.Sprint(i))
	}
	return "toset([" + b.String() + "])"
}

func BenchmarkEngine(b *testing.B) {
	const n = 5000
	for name, shape := range shapes {
		text := shape(n)
		b.Run(name+"/plan", func(b *testing.B) {
			f := newFixture(b)
			b.ReportAllocs()
			for b.Loop() {
				planned(b, f, text)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "instances/s")
		})
		b.Run(name+"/apply", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f := newFixture(b)
				e, p := planned(b, f, text)
				lease, err := f.store.Lock(b.Context(), state.Holder{})
				if err != nil {
					b.Fatal(err)
				}
				res, diags := e.Apply(b.Context(), p, engine.ApplyOptions{Store: f.store, Lease: lease})
				if diags.HasErrors() || len(res.Done) != n {
					b.Fatal(diags, len(res.Done))
				}
			}
		})
	}
}

func planned(b *testing.B, f *fixture, text string) (*engine.Engine, *plan.Plan) {
	b.Helper()
	e, diags := f.engine(text)
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	e.Plugins, e.Emit = directly{direct{f.client}}, nil
	p, diags := e.Plan(b.Context(), nil, engine.Options{})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	return e, p
}

// BenchmarkWarm plans again after one input of 5,000 instances has changed.
func BenchmarkWarm(b *testing.B) {
	const n = 5000
	f := newFixture(b)
	text := "variable \"v\" {}\n" + strings.Replace(shapes["chains"](n), `content = "x"`, "content = var.v", 1)
	values := []string{"one", "two"}
	f.given = []eval.Given{{Name: "v", Text: &values[0]}}
	e, diags := f.engine(text)
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	e.Plugins, e.Emit = directly{direct{f.client}}, nil
	warm := engine.NewWarm(e, engine.Options{})
	if _, _, diags := warm.Plan(b.Context(), engine.Changed{}); diags.HasErrors() {
		b.Fatal(diags)
	}
	looked := 0
	for i := 0; b.Loop(); i++ {
		_, looked, diags = warm.Plan(b.Context(), engine.Changed{Variables: map[string]cty.Value{"v": cty.StringVal(values[(i+1)%2])}})
		if diags.HasErrors() {
			b.Fatal(diags)
		}
	}
	b.ReportMetric(float64(looked), "calls")
}
