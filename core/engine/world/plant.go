package world

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
)

// task is what the walk of a plan works on: an instance, or a step that leads to instances. The
// calls of modules have tasks as well, under the kind "module".
type task struct {
	addr.Instance
	step int
}

// The steps of a task. Steps from waiting on are tries to tell what a block refers to, while modules are expanded.
const (
	planning = iota
	preparing
	expanding
	waiting
)

// WalkOptions says how a tree is walked.
type WalkOptions struct {
	Parallel int
	Wanted   map[string]bool          // static names of what is needed; nil: everything
	Targets  func(addr.Instance) bool // tells whether an instance is wanted for its own sake
	Report   func(...*hcl.Diagnostic) // what goes wrong while blocks are expanded
	// Always tells whether an instance is worked on although something that it depends on failed. Nil: none is.
	Always func(addr.Instance) bool
	// Fail keeps errors of one block or module whose instances cannot be told, and tells whether the others go on. Nil: it does not.
	Fail func(ctx context.Context, place addr.Place, diags hcl.Diagnostics) bool
}

// Walk expands the tree, and calls do for every instance that is wanted, as soon as the instances that it depends on are done.
func (t *Tree) Walk(ctx context.Context, o WalkOptions, do func(context.Context, *Instance) graph.Outcome) {
	p := &planter{Tree: t, WalkOptions: o, ctx: ctx, tasks: graph.New[task](ctx, o.Parallel, nil), do: do}
	p.plant()
	p.tasks.Wait()
}

// planter adds the tasks of a walk.
type planter struct {
	*Tree
	WalkOptions
	ctx   context.Context
	tasks *graph.Walk[task]
	do    func(context.Context, *Instance) graph.Outcome
}

// plant adds tasks for everything that the stack declares.
func (p *planter) plant() {
	p.ExpandStatic(p.Root)
	p.nodesOf(p.Root)
	p.askFor(p.scope(p.Root))
}

// nodesOf makes the nodes of a module instance and of those that it calls, as far as they are expanded. What has
// neither for_each nor count is its only instance.
func (p *planter) nodesOf(s *eval.Scope) {
	for _, name := range s.Module.Order {
		if !wants(p.Wanted, s, name.String()) {
			continue
		}
		if n := p.NewNode(s, s.Module.Blocks[name]); !n.Expanded {
			n.Add(&Instance{Addr: addr.Instance{Node: n.Addr}, Node: n})
		}
	}
	for _, name := range s.Module.CallOrder {
		if call := s.Module.Calls[name]; call.ForEach == nil && call.Count == nil {
			for _, child := range s.Children(name) {
				p.nodesOf(child)
			}
		}
	}
}

// askFor asks for those of a list that are wanted for their own sake.
func (p *planter) askFor(list []*Instance) {
	for _, in := range list {
		if p.Targets(in.Addr) {
			p.ask([]addr.Instance{in.Addr})
		}
	}
}

// ExpandStatic makes the instances of calls that have neither for_each nor count: they are known without a look at anything.
func (t *Tree) ExpandStatic(s *eval.Scope) {
	for _, name := range s.Module.CallOrder {
		call := s.Module.Calls[name]
		if call.Module == nil || call.ForEach != nil || call.Count != nil {
			continue
		}
		for _, child := range s.Expanded(call, []eval.Each{{}}) {
			t.ExpandStatic(child)
		}
	}
}

// scope adds the tasks of a module instance. It returns the instances that can be planned as soon as those that they
// depend on are: nothing has to be expanded before.
func (p *planter) scope(s *eval.Scope) []*Instance {
	var ready []*Instance
	for _, name := range s.Module.Order {
		if n := p.Node(name.In(s.Path)); n != nil {
			if in := p.block(n, 0); in != nil {
				ready = append(ready, in)
			}
		}
	}
	for _, name := range s.Module.CallOrder {
		call := s.Module.Calls[name]
		if call.Module == nil {
			continue
		}
		if call.ForEach == nil && call.Count == nil {
			ready = append(ready, p.scope(s.Child(name, addr.Key{}))...)
			continue
		}
		if wants(p.Wanted, s, CallName(name)) {
			p.call(s, call, 0)
		}
	}
	return ready
}

func (p *planter) add(t task, deps []task, run func() graph.Outcome) {
	p.tasks.Add(t, deps, func(context.Context) graph.Outcome { return run() })
}

// await adds a task that waits for the expansion of calls and then goes on.
func (p *planter) await(at addr.Instance, attempt int, pending []eval.Pending, goOn func()) {
	deps := make([]task, 0, len(pending))
	for _, c := range pending {
		deps = append(deps, callTask(c.Scope, c.Call, expanding))
	}
	p.add(task{Instance: at, step: waiting + attempt}, distinct(deps), func() graph.Outcome {
		goOn()
		return graph.Done
	})
}

func callTask(s *eval.Scope, call *config.Call, step int) task {
	return task{Instance: addr.Instance{Node: addr.Node{Module: s.Path, Kind: "module", Name: call.Name}}, step: step}
}

// call adds the tasks that make the instances of a call with for_each or count.
func (p *planter) call(s *eval.Scope, call *config.Call, attempt int) {
	refs := eval.References(call.ForEach)
	if call.Count != nil {
		refs = eval.References(call.Count)
	}
	needs, pending := s.Needs(refs)
	if len(pending) > 0 {
		p.await(callTask(s, call, 0).Instance, attempt, pending, func() { p.call(s, call, attempt+1) })
		return
	}
	p.expansion(callTask(s, call, expanding), nil, needs, func() graph.Outcome {
		each, diags := s.Expand("module."+call.Name, call.ForEach, call.Count)
		if diags.HasErrors() {
			return p.fail(addr.Place{Instance: addr.Instance{Node: addr.Node{Module: s.Path.Child(call.Name, addr.Key{})}}}, len(needs) > 0, diags)
		}
		p.Report(diags...)
		for _, child := range s.Expanded(call, each) {
			p.ExpandStatic(child)
			p.nodesOf(child)
		}
		for _, child := range s.Children(call.Name) {
			p.askFor(p.scope(child))
		}
		return graph.Done
	})
}

// block adds the task that makes a block's instances. It waits for what for_each or
// count needs, and for the expansion of every block that is referred to: then each
// instance's own dependencies can be told exactly. It returns the instance if nothing has to be expanded before.
func (p *planter) block(n *Node, attempt int) *Instance {
	needs, pending := n.Scope.Needs(n.References)
	more, waits := n.Scope.Order(n.DependsOn)
	needs, pending = append(needs, more...), append(pending, waits...)
	triggers, waits := n.Scope.Needs(n.Triggers)
	needs, pending = append(needs, triggers...), append(pending, waits...)
	ofModule, waits := p.moduleNeeds(n.Scope)
	needs, pending = append(needs, ofModule...), append(pending, waits...)
	expansion, waits := n.Scope.Needs(n.Expansion)
	pending = append(pending, waits...)
	if len(pending) > 0 {
		p.await(addr.Instance{Node: n.Addr}, attempt, pending, func() {
			if in := p.block(n, attempt+1); in != nil {
				p.askFor([]*Instance{in})
			}
		})
		return nil
	}
	n.setNeeds(needs, expansion)
	if p.overInstances(n) {
		// The keys are those of the other block: each instance waits for the one with its key, and for no other.
		p.expansion(task{Instance: addr.Instance{Node: n.Addr}, step: expanding}, slices.Concat(needs, expansion), nil, func() graph.Outcome { return p.expand(n) })
		return nil
	}
	if !n.Expanded && !p.waits(needs) {
		in := n.only
		deps, diags := p.instanceDependencies(n, eval.Each{})
		p.Report(diags...)
		if diags.HasErrors() {
			return nil
		}
		in.Deps = deps
		return in
	}
	p.expansion(task{Instance: addr.Instance{Node: n.Addr}, step: expanding}, needs, expansion, func() graph.Outcome { return p.expand(n) })
	return nil
}

// waits tells whether one of the blocks that are needed has to be expanded.
func (p *planter) waits(needs []eval.Need) bool {
	for _, need := range needs {
		if n := p.Node(need.Node); n != nil && n.Expanded {
			return true
		}
	}
	return false
}

// overInstances tells whether for_each of a block is all instances of another block with for_each.
func (p *planter) overInstances(n *Node) bool {
	over, is := n.EachOver()
	if !is || len(n.expansion) != 1 {
		return false
	}
	up := p.Node(over.In(n.Scope.Path))
	return up != nil && up.Block.ForEach != nil
}

// expansion adds a task that expands something, when all blocks that it needs are expanded and the instances
// that for_each or count needs are done.
func (p *planter) expansion(t task, needs, of []eval.Need, expand func() graph.Outcome) {
	deps := make([]task, 0, len(needs)+len(of))
	for _, list := range [][]eval.Need{needs, of} {
		for _, need := range list {
			if n := p.Node(need.Node); n != nil && n.Expanded {
				deps = append(deps, task{Instance: addr.Instance{Node: need.Node}, step: expanding})
			}
		}
	}
	deps = distinct(deps)
	if len(of) == 0 {
		p.add(t, deps, expand)
		return
	}
	// Which instances for_each needs can be told when those blocks are expanded.
	p.add(task{Instance: t.Instance, step: preparing}, deps, func() graph.Outcome {
		instances, diags := p.Dependencies(&Node{Addr: t.Node}, of, eval.Each{})
		p.Report(diags...)
		if diags.HasErrors() {
			return graph.Failed
		}
		p.ask(instances)
		p.add(t, tasksOf(instances), expand)
		return graph.Done
	})
}

// moduleNeeds finds what everything in a module instance waits for: the depends_on and for_each of its call, and of those above.
func (p *planter) moduleNeeds(s *eval.Scope) (needs []eval.Need, pending []eval.Pending) {
	for ; s.Parent != nil; s = s.Parent {
		refs := make([]eval.Ref, 0, len(s.Call.DependsOn))
		for _, d := range s.Call.DependsOn {
			refs = append(refs, eval.RefOf(d))
		}
		n, w := s.Parent.Order(refs)
		needs, pending = append(needs, n...), append(pending, w...)
		for _, x := range []hcl.Expression{s.Call.ForEach, s.Call.Count} {
			if x == nil {
				continue
			}
			n, w := s.Parent.Needs(eval.References(x))
			for i := range n {
				n[i].Own = false // the call has no each of its own
			}
			needs, pending = append(needs, n...), append(pending, w...)
		}
	}
	return needs, pending
}

func distinct(list []task) []task {
	if len(list) < 2 {
		return list
	}
	seen := make(map[task]bool, len(list))
	out := list[:0]
	for _, t := range list {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

func tasksOf(list []addr.Instance) []task {
	out := make([]task, len(list))
	for i, a := range list {
		out[i] = task{Instance: a}
	}
	return out
}

// expansions evaluates for_each or count of a block, unless the check of the stack has done that. The values of instances of another block
// are not known yet.
func (p *planter) expansions(n *Node) ([]eval.Each, hcl.Diagnostics) {
	if p.overInstances(n) {
		over, _ := n.EachOver()
		keys, _ := p.Keys(over.In(n.Scope.Path))
		list := make([]eval.Each, len(keys))
		for i, k := range keys {
			list[i] = eval.Each{Key: k, Value: cty.DynamicVal}
		}
		slices.SortFunc(list, func(a, b eval.Each) int { return addr.CompareKeys(a.Key, b.Key) })
		return list, nil
	}
	if k := n.Constant.Swap(nil); k != nil {
		return k.Each, nil
	}
	return n.Scope.Expand(n.Addr.String(), n.Block.ForEach, n.Block.Count)
}

// fail keeps the errors of a block, a module or an instance. Those of values that were seen in the world leave others alone.
func (p *planter) fail(place addr.Place, seen bool, diags hcl.Diagnostics) graph.Outcome {
	if !seen || p.Fail == nil || !p.Fail(p.ctx, place, diags) {
		p.Report(diags...)
	}
	return graph.Failed
}

// isSeen tells whether the instances of a block, or of one that it needs, are made of values that were seen in the world.
func (p *planter) isSeen(n *Node) bool {
	return len(n.expansion) > 0 || slices.ContainsFunc(n.needs, func(need eval.Need) bool {
		up := p.Node(need.Node)
		return up != nil && up.expandsSeen()
	})
}

// expand makes the instances of a block and adds a task for each that is wanted.
func (p *planter) expand(n *Node) graph.Outcome {
	each, diags := p.expansions(n)
	if diags.HasErrors() {
		return p.fail(addr.Place{Instance: addr.Instance{Node: n.Addr}, AllKeys: true}, len(n.expansion) > 0, diags)
	}
	p.Report(diags...)
	outcome := graph.Done
	list := make([]*Instance, len(each))
	for i, e := range each {
		at := addr.Instance{Node: n.Addr, Key: e.Key}
		if list[i] = p.Instance(at); list[i] == nil {
			list[i] = &Instance{Addr: at, Node: n, Each: e}
			n.Add(list[i])
		}
	}
	n.mu.Lock()
	n.told = true
	n.mu.Unlock()
	for i, e := range each {
		deps, more := p.instanceDependencies(n, e)
		if more.HasErrors() {
			outcome = p.fail(addr.Place{Instance: list[i].Addr}, p.isSeen(n), more)
			continue
		}
		list[i].Deps = deps
		if p.Targets(list[i].Addr) {
			p.ask([]addr.Instance{list[i].Addr})
		}
	}
	return outcome
}

// ask adds the tasks of instances, and of those that they depend on, unless they are there already.
func (p *planter) ask(list []addr.Instance) {
	for _, a := range list {
		in := p.Instance(a)
		if in == nil {
			continue // its block failed to expand
		}
		in.Node.mu.Lock()
		asked := in.asked
		in.asked = true
		in.Node.mu.Unlock()
		if asked {
			continue
		}
		if p.Wanted != nil {
			p.ask(in.Deps)
		}
		add := p.tasks.Add
		if p.Always != nil && p.Always(a) {
			add = p.tasks.AddAlways
		}
		add(task{Instance: a}, tasksOf(in.Deps), func(ctx context.Context) graph.Outcome {
			if p.overInstances(in.Node) {
				over, _ := in.Node.EachOver()
				in.Each.Value = p.Value(addr.Instance{Node: over.In(in.Node.Scope.Path), Key: a.Key})
			}
			return p.do(ctx, in)
		})
	}
}
