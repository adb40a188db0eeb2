package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// model is a random stack, and what runs when it is applied.
type model struct {
	apps      []modelApp
	variables map[string]string
}

// modelApp is an application, with for_each or in a module or neither, whose content is made of parts.
type modelApp struct {
	form  string // "single", "each", "module", "modules"
	parts []modelPart
}

// modelPart is a piece of text: of itself, of a variable, of the source, or made of another application's content.
type modelPart struct {
	kind string // "text", "var", "source", "sum", "name"
	text string
	app  int
}

func drawModel(t *rapid.T) *model {
	m := &model{variables: map[string]string{}}
	for i := range 3 {
		m.variables[fmt.Sprintf("v%d", i)] = fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "value"))
	}
	for i := range rapid.IntRange(1, 10).Draw(t, "applications") {
		a := modelApp{form: rapid.SampledFrom([]string{"single", "single", "each", "module", "modules"}).Draw(t, "form")}
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			p := modelPart{kind: rapid.SampledFrom([]string{"text", "var", "source", "sum", "name"}).Draw(t, "kind")}
			p.text = fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "text"))
			if i == 0 && (p.kind == "sum" || p.kind == "name") {
				p.kind = "text"
			}
			if i > 0 {
				p.app = rapid.IntRange(0, i-1).Draw(t, "app")
			}
			a.parts = append(a.parts, p)
		}
		m.apps = append(m.apps, a)
	}
	return m
}

func (a modelApp) keyed() bool { return a.form == "each" || a.form == "modules" }

// text is the stack as davit reads it.
func (m *model) text() string {
	var b strings.Builder
	b.WriteString("-- davit.hcl --\nsource \"s\" \"repo\" {}\n")
	for i := range 3 {
		fmt.Fprintf(&b, "variable \"v%d\" {}\n", i)
	}
	for i, a := range m.apps {
		content := m.expression(a)
		loop := ""
		if a.keyed() {
			loop = "  for_each = toset([\"p\", \"q\"])\n"
		}
		name := fmt.Sprintf(`"n%d"`, i)
		if a.keyed() {
			name = fmt.Sprintf(`"n%d-${each.key}"`, i)
		}
		switch a.form {
		case "module", "modules":
			fmt.Fprintf(&b, "module \"n%d\" {\n  source = \"./m\"\n%s  name = %s\n  content = %s\n}\n", i, loop, name, content)
		default:
			fmt.Fprintf(&b, "application \"a\" \"n%d\" {\n%s  name = %s\n  content = %s\n}\n", i, loop, name, content)
		}
	}
	b.WriteString("-- m/m.hcl --\nvariable \"name\" {}\nvariable \"content\" {}\napplication \"a\" \"it\" {\n  name = var.name\n  content = local.content\n}\nlocals { content = \"${var.content}\" }\n" +
		"output \"sum\" { value = application.a.it.sum }\noutput \"name\" { value = application.a.it.name }\n")
	return b.String()
}

func (m *model) expression(a modelApp) string {
	var parts []string
	for _, p := range a.parts {
		switch p.kind {
		case "text":
			parts = append(parts, p.text)
		case "var":
			parts = append(parts, "${var.v"+p.text+"}")
		case "source":
			parts = append(parts, "${source.s.repo.revision}")
		default:
			parts = append(parts, "${"+m.reference(a, p)+"."+p.kind+"}")
		}
	}
	return `"` + strings.Join(parts, ",") + `"`
}

func (m *model) reference(a modelApp, p modelPart) string {
	of := m.apps[p.app]
	ref := fmt.Sprintf("application.a.n%d", p.app)
	if of.form == "module" || of.form == "modules" {
		ref = fmt.Sprintf("module.n%d", p.app)
	}
	switch {
	case of.keyed() && a.keyed():
		return ref + "[each.key]"
	case of.keyed():
		return ref + `["q"]`
	}
	return ref
}

// desired computes what runs in the end, without davit.
func (m *model) desired(revision string) map[string]string {
	out := map[string]string{}
	var content func(i int, key string) string
	name := func(i int, key string) string {
		if m.apps[i].keyed() {
			return fmt.Sprintf("n%d-%s", i, key)
		}
		return fmt.Sprintf("n%d", i)
	}
	content = func(i int, key string) string {
		var parts []string
		for _, p := range m.apps[i].parts {
			of := key
			if !m.apps[i].keyed() {
				of = "q"
			}
			switch p.kind {
			case "text":
				parts = append(parts, p.text)
			case "var":
				parts = append(parts, m.variables["v"+p.text])
			case "source":
				parts = append(parts, revision)
			case "sum":
				parts = append(parts, sum(content(p.app, of)))
			case "name":
				parts = append(parts, name(p.app, of))
			}
		}
		return strings.Join(parts, ",")
	}
	for i, a := range m.apps {
		if !a.keyed() {
			out[name(i, "")] = content(i, "")
			continue
		}
		for _, key := range []string{"p", "q"} {
			out[name(i, key)] = content(i, key)
		}
	}
	return out
}

func (m *model) give(f *fixture) {
	f.given = nil
	for name, v := range m.variables {
		f.given = append(f.given, eval.Given{Name: name, Text: &v})
	}
}

// plain is a plan without the moment it was made.
func plain(t *rapid.T, p *plan.Plan) string {
	c := *p
	c.Created, c.Digest = time.Time{}, ""
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever the graph: what is applied is what is wanted, the second plan is empty, and neither how many instances are
// worked on at once nor their order shows in a plan.
func TestWhatIsAppliedIsWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		m := drawModel(rt)
		m.give(f)
		text := m.text()
		one := f.plan(text)
		f.parallel = rapid.SampledFrom([]int{1, 2, 7}).Draw(rt, "parallel")
		if two := f.plan(text); plain(rt, one) != plain(rt, two) {
			rt.Fatalf("another order gives another plan:\n%s", text)
		}
		if res, diags := f.tryApply(text, one, rapid.Bool().Draw(rt, "reviewed")); diags.HasErrors() || len(res.NotStarted) > 0 {
			rt.Fatalf("%v\n%s", diags, text)
		}
		if want := m.desired(f.world.revision); !maps.Equal(f.world.things, want) {
			rt.Fatalf("what runs is %v\nwant %v\n%s", f.world.things, want, text)
		}
		if again := f.plan(text); !again.Empty() {
			rt.Fatalf("the second plan is not empty:\n%s\n%s", actions(again), text)
		}
	})
}

// Planning again in a warm engine gives the plan that a cold one gives, whatever has changed in the meantime.
func TestWarmIsCold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		m := drawModel(rt)
		m.give(f)
		text := m.text()
		e, diags := f.engine(text)
		if diags.HasErrors() {
			rt.Fatal(diags)
		}
		warm := engine.NewWarm(e, engine.Options{})
		changed := engine.Changed{} // nothing was ever applied
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			p, _, diags := warm.Plan(t.Context(), changed)
			if diags.HasErrors() {
				rt.Fatal(diags)
			}
			if got, want := plain(rt, p), plain(rt, f.plan(text)); got != want {
				rt.Fatalf("warm:\n%s\ncold:\n%s\n%s", got, want, text)
			}
			changed = m.step(rt, f, e, text, p)
		}
	})
}

// step changes something, and says what.
func (m *model) step(t *rapid.T, f *fixture, e *engine.Engine, text string, p *plan.Plan) engine.Changed {
	switch rapid.SampledFrom([]string{"apply", "variable", "source", "nothing"}).Draw(t, "step") {
	case "apply":
		lease, err := f.store.Lock(f.t.Context(), state.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release(f.t.Context()) //nolint:errcheck // the memory store's cannot fail
		if _, diags := e.Apply(f.t.Context(), p, engine.ApplyOptions{Store: f.store, Lease: lease}); diags.HasErrors() {
			t.Fatal(diags)
		}
		return engine.Changed{Snapshot: f.snapshot()}
	case "variable":
		m.variables[rapid.SampledFrom([]string{"v0", "v1", "v2"}).Draw(t, "name")] = fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "value"))
		m.give(f)
		again, diags := f.engine(text)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return engine.Changed{Variables: again.Variables}
	case "source":
		f.world.revision = fmt.Sprint("r", rapid.IntRange(0, 3).Draw(t, "revision"))
		return engine.Changed{Instances: []addr.Instance{{Node: addr.Node{Kind: "source", Type: "s", Name: "repo"}}}}
	}
	return engine.Changed{}
}
