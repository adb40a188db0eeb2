package world

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// Static is what refers to what, as it is written: without values, so without instances. The names
// are addresses without keys ("module.x.source.git.a"), and those of locals, variables, outputs and calls.
type Static struct {
	Names  []string
	Deps   map[string][]string
	Ranges map[string]hcl.Range
	forms  *Forms

	managed map[string]bool // names of blocks of managed kinds
}

// Static returns what refers to what in a stack.
func (f *Forms) Static(m *config.Module) *Static {
	g := &Static{Deps: map[string][]string{}, Ranges: map[string]hcl.Range{}, forms: f, managed: map[string]bool{}}
	g.module(m, "", nil)
	return g
}

// staticName is the name of something in a module.
func staticName(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// staticPath is a module instance's name without keys.
func staticPath(s *eval.Scope) string {
	if s.Parent == nil {
		return ""
	}
	return staticName(staticPath(s.Parent), CallName(s.Call.Name))
}

// CallName returns the static name of a call: "module.NAME".
func CallName(name string) string { return "module." + name }

// Everything is the name that stands for all blocks of a module.
const Everything = "*"

func (g *Static) add(path, name string, at hcl.Range, deps []string) {
	id := staticName(path, name)
	g.Names = append(g.Names, id)
	g.Deps[id], g.Ranges[id] = deps, at
}

// module adds what a module declares; call is nil for the root.
func (g *Static) module(m *config.Module, path string, call *config.Call) {
	var whole []string
	for _, n := range slices.Concat(m.Order, m.Notifications) {
		b := m.Blocks[n]
		f := g.forms.Form(b)
		var deps []string
		for _, refs := range [][]eval.Ref{f.References, f.Expansion, f.Triggers} {
			deps = append(deps, g.targets(m, path, refs)...)
		}
		deps = append(deps, g.order(m, path, f.DependsOn)...)
		if call != nil {
			deps = append(deps, path)
		}
		g.add(path, n.String(), b.Range, deps)
		g.managed[staticName(path, n.String())] = kinds.IsManaged(n.Kind)
		whole = append(whole, staticName(path, n.String()))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Locals)) {
		l := m.Locals[name]
		g.add(path, "local."+name, l.Range, g.targets(m, path, eval.References(l.Expr)))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Outputs)) {
		o := m.Outputs[name]
		g.add(path, "output."+name, o.Range, append(g.targets(m, path, eval.OutputReferences(o)), g.order(m, path, RefsOf(o.DependsOn))...))
	}
	for _, name := range m.CallOrder {
		c := m.Calls[name]
		if c.Module == nil {
			continue
		}
		inner := staticName(path, CallName(name))
		deps := g.order(m, path, RefsOf(c.DependsOn))
		for _, x := range []hcl.Expression{c.ForEach, c.Count} {
			deps = append(deps, g.targets(m, path, eval.References(x))...)
		}
		if call != nil {
			deps = append(deps, path)
		}
		g.add(path, CallName(name), c.Range, deps)
		for _, v := range slices.Sorted(maps.Keys(c.Arguments)) {
			g.add(inner, "var."+v, c.Arguments[v].Range, g.targets(m, path, eval.References(c.Arguments[v].Expr)))
		}
		g.module(c.Module, inner, c)
		whole = append(whole, staticName(inner, Everything))
	}
	g.add(path, Everything, hcl.Range{}, whole)
}

// targets are the names of what references in a module mean.
func (g *Static) targets(m *config.Module, path string, refs []eval.Ref) []string {
	var list []string
	for _, r := range refs {
		switch {
		case r.Node.Kind != "":
			list = append(list, staticName(path, r.Node.String()))
		case r.Local != "":
			list = append(list, staticName(path, "local."+r.Local))
		case r.Var != "" && path != "":
			list = append(list, staticName(path, "var."+r.Var))
		case r.Call != "":
			list = append(list, g.outputs(m, path, r)...)
		}
	}
	return list
}

func (g *Static) outputs(m *config.Module, path string, r eval.Ref) []string {
	c := m.Calls[r.Call]
	if c == nil || c.Module == nil {
		return nil
	}
	inner := staticName(path, CallName(r.Call))
	list := []string{inner}
	for name := range c.Module.Outputs {
		if r.Output == "" || r.Output == name {
			list = append(list, staticName(inner, "output."+name))
		}
	}
	slices.Sort(list)
	return list
}

// order are the names of what depends_on means: a whole module is all of its blocks.
func (g *Static) order(m *config.Module, path string, refs []eval.Ref) []string {
	var list []string
	for _, r := range refs {
		if c := m.Calls[r.Call]; r.Call != "" && r.Output == "" && c != nil && c.Module != nil {
			list = append(list, staticName(path, CallName(r.Call)), staticName(staticName(path, CallName(r.Call)), Everything))
			continue
		}
		list = append(list, g.targets(m, path, []eval.Ref{r})...)
	}
	return list
}

// RefsOf returns traversals as references.
func RefsOf(list []hcl.Traversal) []eval.Ref {
	refs := make([]eval.Ref, 0, len(list))
	for _, t := range list {
		refs = append(refs, eval.RefOf(t))
	}
	return refs
}

// ManagedNeeds returns the static names of the nearest blocks of managed kinds that a block needs, sorted.
func (g *Static) ManagedNeeds(name string) []string {
	found, seen := map[string]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		for _, d := range g.Deps[name] {
			if seen[d] {
				continue
			}
			seen[d] = true
			if g.managed[d] {
				found[d] = true
			} else {
				visit(d)
			}
		}
	}
	visit(name)
	return slices.Sorted(maps.Keys(found))
}

// Reach finds everything that places need, and the places themselves.
func (g *Static) Reach(places []addr.Place) map[string]bool {
	reached := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if reached[name] {
			return
		}
		reached[name] = true
		for _, d := range g.Deps[name] {
			visit(d)
		}
	}
	for _, p := range places {
		steps, err := p.Module.Steps()
		if err != nil {
			continue
		}
		path := ""
		for _, s := range steps {
			path = staticName(path, CallName(s.Name))
			visit(path)
		}
		if p.IsModule() {
			visit(staticName(path, Everything))
			continue
		}
		visit(staticName(path, p.Node.In("").String()))
	}
	return reached
}

// CreateBeforeDestroy returns the blocks that a block with create_before_destroy depends on, directly or not, by their static names, each
// with the name of the first such block.
func (f *Forms) CreateBeforeDestroy(m *config.Module) map[string]string {
	first := map[string]bool{}
	var find func(m *config.Module, path string)
	find = func(m *config.Module, path string) {
		for _, n := range m.Order {
			if m.Blocks[n].Lifecycle.CreateBeforeDestroy {
				first[staticName(path, n.String())] = true
			}
		}
		for _, name := range m.CallOrder {
			if call := m.Calls[name]; call.Module != nil {
				find(call.Module, staticName(path, CallName(name)))
			}
		}
	}
	find(m, "")
	inherited := map[string]string{}
	if len(first) == 0 {
		return inherited
	}
	g := f.Static(m)
	for _, by := range slices.Sorted(maps.Keys(first)) {
		var visit func(name string)
		visit = func(name string) {
			for _, d := range g.Deps[name] {
				if inherited[d] == "" && !first[d] {
					inherited[d] = by
					visit(d)
				}
			}
		}
		visit(by)
	}
	return inherited
}

// wants tells whether something of a module instance is among the static names that are wanted; nil stands for all.
func wants(wanted map[string]bool, s *eval.Scope, name string) bool {
	return wanted == nil || wanted[staticName(staticPath(s), name)]
}

// Readable is a static name as people write it.
func Readable(name string) string { return strings.TrimSuffix(name, "."+Everything) }

// BlockName is the name of an instance's block without keys, its modules' included.
func BlockName(i addr.Instance) string {
	return staticName(StaticModule(i.Module), i.In("").String())
}

// StaticModule is a module instance's name without keys.
func StaticModule(m addr.Module) string {
	path := ""
	steps, _ := m.Steps()
	for _, s := range steps {
		path = staticName(path, CallName(s.Name))
	}
	return path
}
