package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// run is what one plan or apply knows so far. Instances are written by their own task and
// read by tasks that depend on it.
type run struct {
	*Engine
	opts     Options
	snapshot *state.Snapshot
	moves    []plan.Move
	root     *eval.Scope
	wanted   map[string]bool // static names of what is needed; nil: everything
	secrets  *secret.Secrets

	movedFrom    map[string]string // by the new address
	whyDestroyed map[string]string // by address

	nodesMu sync.RWMutex
	nodes   map[addr.Node]*node

	deleted []*instance       // of which the deletion is planned
	damaged map[string]string // of instances whose records cannot be read: address -> what it is in state

	beats beats

	imports sync.Map // importKey -> the instances that an import block is into; found when they are asked for

	written sync.Map // address -> *state.Record; nil when it was removed: only steps that are planned again look

	mu      sync.Mutex
	diags   hcl.Diagnostics
	checks  []plan.Check
	leftOut map[string]bool // damaged ones that the plan would be about, as they are called in state
}

// form is what can be told of a block without any value: it is the same in all instances of its module.
type form struct {
	block     *config.Block
	typ       *types.Type
	own       []eval.Ref // of arguments and conditions
	dependsOn []eval.Ref
	expansion []eval.Ref // of for_each or count
	triggers  []eval.Ref // of replace_triggered_by
	diags     hcl.Diagnostics

	constant atomic.Pointer[constant] // found by the check, for the first who expands the block
}

// node is a block of a module instance on its way.
type node struct {
	*form
	addr      addr.Node
	scope     *eval.Scope
	needs     []eval.Need // blocks that it refers to, through locals and modules as well
	expansion []eval.Need // of for_each or count
	expanded  bool        // it has for_each or count

	mu      sync.RWMutex
	only    *instance // of a block without for_each and count
	keys    []addr.Key
	several map[addr.Key]*instance
	ordered []*instance // by key, once it was asked for

	eachOnce  sync.Once // at apply
	each      map[addr.Key]eval.Each
	eachDiags hcl.Diagnostics
}

// instance is one expansion on its way.
type instance struct {
	addr addr.Instance
	node *node
	each eval.Each
	deps []addr.Instance

	asked bool // a task for it was added

	config      cty.Value       // evaluated; marked where sensitive; of managed ones only as long as they are worked on
	ignored     map[string]bool // paths of sensitive arguments whose changes are ignored
	seen        types.Seen
	change      *plan.Change
	observation *plan.Observation
	checks      []plan.Check
	warnings    hcl.Diagnostics
}

func newRun(e *Engine, snapshot *state.Snapshot, opts Options) *run {
	if snapshot == nil {
		snapshot = &state.Snapshot{}
	}
	r := &run{Engine: e, opts: opts, snapshot: snapshot, nodes: map[addr.Node]*node{}, secrets: &secret.Secrets{}}
	r.beats.emit = r.emit
	for _, v := range e.Variables {
		r.secrets.AddFrom(v)
	}
	r.root = eval.NewScope(e.Stack.Module, e.Variables, r)
	return r
}

// forms keeps what can be told of blocks without any value.
type forms struct {
	mu      sync.Mutex
	byBlock map[*config.Block]*form
}

// form returns what can be told of a block; it is found out once.
func (e *Engine) form(b *config.Block) *form {
	e.forms.mu.Lock()
	defer e.forms.mu.Unlock()
	f := e.forms.byBlock[b]
	if f == nil {
		f = e.newForm(b)
		if e.forms.byBlock == nil {
			e.forms.byBlock = map[*config.Block]*form{}
		}
		e.forms.byBlock[b] = f
	}
	return f
}

func (e *Engine) newForm(b *config.Block) *form {
	f := &form{block: b, typ: e.Types.Find(b.Addr)}
	if f.typ != nil {
		var exprs []eval.Expr
		exprs, f.diags = f.typ.Schema.Expressions(b.Body)
		for _, x := range exprs {
			f.own = append(f.own, x.References()...)
		}
	}
	f.own = append(f.own, conditionRefs(b.Lifecycle.Pre)...)
	// Here self means the instance; anywhere else it is a mistake.
	f.own = append(f.own, slices.DeleteFunc(conditionRefs(b.Lifecycle.Post), func(r eval.Ref) bool { return r.Instance == "self" })...)
	for _, d := range b.DependsOn {
		f.dependsOn = append(f.dependsOn, eval.RefOf(d))
	}
	for _, x := range b.Lifecycle.ReplaceTriggeredBy {
		f.triggers = append(f.triggers, eval.References(x)...)
	}
	if b.ForEach != nil {
		f.expansion = eval.References(b.ForEach)
	}
	if b.Count != nil {
		f.expansion = eval.References(b.Count)
	}
	return f
}

func conditionRefs(rules []config.Condition) []eval.Ref {
	var refs []eval.Ref
	for _, rule := range rules {
		refs = append(refs, eval.References(rule.Condition)...)
		refs = append(refs, eval.References(rule.Message)...)
	}
	return refs
}

// node returns a block of a module instance, nil if it is not there, or not planted yet.
func (r *run) node(n addr.Node) *node {
	r.nodesMu.RLock()
	defer r.nodesMu.RUnlock()
	return r.nodes[n]
}

// newNode adds a block of a module instance, if it is not there.
func (r *run) newNode(s *eval.Scope, b *config.Block) *node {
	n := r.nodeAt(b.Addr.In(s.Path), b)
	n.plant(s)
	return n
}

// plant says in which scope a node is. While applying that may be found twice, at the same time.
func (n *node) plant(s *eval.Scope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.scope != s {
		n.scope = s
	}
}

// planted returns the scope; nil if it is not known yet.
func (n *node) planted() *eval.Scope {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.scope
}

func (r *run) nodeAt(a addr.Node, b *config.Block) *node {
	form := r.form(b)
	r.nodesMu.Lock()
	defer r.nodesMu.Unlock()
	n := r.nodes[a]
	if n == nil {
		n = form.node(a)
		r.nodes[a] = n
	}
	return n
}

// node is one that no run knows yet.
func (f *form) node(a addr.Node) *node {
	return &node{form: f, addr: a, expanded: f.block.ForEach != nil || f.block.Count != nil}
}

// Keys implements eval.Instances.
func (r *run) Keys(n addr.Node) ([]addr.Key, bool) {
	node := r.node(n)
	if node == nil || !node.expanded {
		return nil, false
	}
	node.mu.RLock()
	defer node.mu.RUnlock()
	return node.keys, true
}

// Value implements eval.Instances. An instance that is not done, as while validating, is unknown.
func (r *run) Value(i addr.Instance) cty.Value {
	in := r.instance(i)
	switch {
	case in == nil && i.Key.IsNone():
		return cty.DynamicVal
	case in == nil:
		return cty.NilVal
	case in.seen == nil:
		return cty.DynamicVal
	}
	return in.value()
}

// Attribute implements eval.Instances.
func (r *run) Attribute(i addr.Instance, name string) (cty.Value, bool) {
	in := r.instance(i)
	if in == nil {
		return cty.NilVal, false
	}
	return in.attribute(name)
}

func (r *run) instance(i addr.Instance) *instance {
	n := r.node(i.Node)
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.at(i.Key)
}

// at is called with the lock held, or when nothing is added any more. Nil is none.
func (n *node) at(k addr.Key) *instance {
	if k.IsNone() {
		return n.only
	}
	return n.several[k]
}

func (n *node) add(in *instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if in.addr.Key.IsNone() {
		n.only = in
		return
	}
	if n.several == nil {
		n.several = map[addr.Key]*instance{}
	}
	n.keys = append(n.keys, in.addr.Key)
	n.several[in.addr.Key] = in
}

func (n *node) count() int {
	if n.only != nil {
		return 1 + len(n.several)
	}
	return len(n.several)
}

// all returns the instances, in no order.
func (n *node) all() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		if n.only != nil && !yield(n.only) {
			return
		}
		for _, in := range n.several {
			if !yield(in) {
				return
			}
		}
	}
}

// report keeps findings. A function's error may repeat its argument: what is sensitive in it is masked.
func (r *run) report(diags ...*hcl.Diagnostic) {
	for _, d := range diags {
		d.Summary, d.Detail = r.secrets.Mask(d.Summary), r.secrets.Mask(d.Detail)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.diags = append(r.diags, diags...)
}

// decode evaluates an instance's body.
func (r *run) decode(in *instance) (cty.Value, hcl.Diagnostics) {
	v, diags := in.node.typ.Schema.Decode(in.node.block.Body, in.node.scope.Evaluator(in.node.own, in.each))
	for i, d := range diags {
		d.EvalContext = nil // its values may be sensitive
		if in.addr.Module != "" || !in.addr.Key.IsNone() {
			diags[i] = diag.OfInstance(d, in.addr.String(), d.Summary+"\x00"+d.Detail)
		}
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v = in.node.typ.Schema.Mark(v)
	r.secrets.AddFrom(v)
	return v, diags
}

// call asks a plugin to observe or plan an instance and decodes the outputs.
func (r *run) call(ctx context.Context, in *instance, req *pluginv1.PlanRequest, cfg cty.Value) (*pluginv1.PlanResult, cty.Value, hcl.Diagnostics) {
	t := in.node.typ
	req.Address, req.Kind, req.Type = in.addr.String(), t.Kind, t.Name
	if cfg != cty.NilVal {
		var err error
		if req.Config, err = eval.EncodeValue(deep.Unmarked(cfg)); err != nil {
			return nil, cty.NilVal, hcl.Diagnostics{r.failure(in, "planning", err)}
		}
	}
	client, err := r.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{r.failure(in, "planning", err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer r.beats.start(event.Event{Address: req.Address}, cancel)()
	res, err := client.Plan(ctx, req, func(l *pluginv1.Log) {
		r.emit(event.Event{Type: event.Log, Address: req.Address, Stream: r.secrets.Mask(l.GetStream()), Message: r.secrets.Mask(l.GetLine())})
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errPlanTimeout) {
		err = cause
	}
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{r.failure(in, "planning", err)}
	}
	diags := r.diagnostics(in, res.GetDiagnostics())
	if diags.HasErrors() {
		return nil, cty.NilVal, diags
	}
	if t.Kind == "policy" || req.GetDestroy() {
		return res, cty.NilVal, diags
	}
	outputs, err := r.decodeOutputs(t, res.GetOutputs())
	if err != nil {
		return nil, cty.NilVal, append(diags, r.failure(in, "planning", err))
	}
	return res, outputs, diags
}

// decodeOutputs reads outputs as the type describes them, and marks what is sensitive.
func (r *run) decodeOutputs(t *types.Type, v *pluginv1.Value) (cty.Value, error) {
	if v == nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.Plugin)
	}
	outputs, err := eval.DecodeValue(v, t.OutputType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered with outputs that do not fit its own description: %w", t.Plugin, err)
	}
	if outputs.IsNull() || !outputs.IsKnown() {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.Plugin)
	}
	outputs = types.MarkSensitive(outputs, t.Sensitive)
	r.secrets.AddFrom(outputs)
	return r.secrets.Mark(outputs), nil
}

// failure makes a diagnostic of an error that is not the configuration's fault.
func (r *run) failure(in *instance, doing string, err error) *hcl.Diagnostic {
	d := diag.Plain(fmt.Sprintf("%s: %s failed", in.addr, doing), r.secrets.Mask(err.Error()))
	info := diag.Info{Address: in.addr.String()}
	var hinted interface{ HintText() string }
	if errors.As(err, &hinted) {
		info.Hint = hinted.HintText()
	}
	if errors.Is(err, context.Canceled) {
		d.Detail, info.Code = "The run was stopped.", "cancelled"
	}
	d.Extra = info
	if in.node != nil && in.node.block != nil {
		d.Subject = in.node.block.Range.Ptr()
	}
	return d
}

// diagnostics turns a plugin's findings into ones with a place in the files.
func (r *run) diagnostics(in *instance, list []*pluginv1.Diagnostic) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range list {
		out := &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  r.secrets.Mask(d.GetSummary()),
			Detail:   r.secrets.Mask(d.GetDetail()),
			Extra:    diag.Info{Address: in.addr.String(), Code: d.GetCode(), Hint: r.secrets.Mask(d.GetHint())},
		}
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			out.Severity = hcl.DiagWarning
		}
		if in.node != nil && in.node.block != nil {
			path := pathOf(d.GetPath())
			place, shared := in.node.place(path)
			if shared { // the line alone does not tell which value is meant
				out.Summary = r.secrets.Mask(plan.PathString(path)) + ": " + out.Summary
			}
			out.Subject = &place
		}
		out.Summary = in.addr.String() + ": " + out.Summary
		diags = append(diags, out)
	}
	return diags
}

// pathOf is a plugin's path, as far as it has steps that there are.
func pathOf(path []*pluginv1.PathStep) cty.Path {
	var p cty.Path
	for _, s := range path {
		switch s := s.GetStep().(type) {
		case *pluginv1.PathStep_Attribute:
			p = p.GetAttr(s.Attribute)
		case *pluginv1.PathStep_Key:
			p = p.IndexString(s.Key)
		case *pluginv1.PathStep_Index:
			p = p.Index(cty.NumberIntVal(s.Index))
		default:
			return p
		}
	}
	return p
}

// place finds where a path leads to in the block; shared is a place of several values.
func (n *node) place(path cty.Path) (at hcl.Range, shared bool) {
	if n.typ == nil {
		return n.block.Range, false
	}
	return eval.Place(n.block.Body, n.block.Range, path)
}

// rangeOf finds the place of an argument.
func (n *node) rangeOf(argument string) hcl.Range {
	at, _ := n.place(cty.GetAttrPath(argument))
	return at
}

// prior returns what state has of an instance, as its plugin wants it. It returns nil if state has nothing. Of what is sensitive it has
// what is known to be the same still.
func (r *run) prior(in *instance) (*pluginv1.Record, *state.Record, error) {
	rec, ok := r.record(in.addr.String())
	if !ok {
		return nil, nil, nil
	}
	out, err := types.Prior(rec, in.node.typ)
	if err == nil {
		err = secret.Fingerprints(r.Fingerprint).Refill(out, rec, in.config, in.ignored, in.node.typ)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the record of %s in state cannot be read: %w", in.addr, err)
	}
	return out, rec, nil
}

// record returns what state has of an instance, with what this run has written.
func (r *run) record(address string) (*state.Record, bool) {
	if v, ok := r.written.Load(address); ok {
		rec, _ := v.(*state.Record)
		return rec, rec != nil
	}
	rec, ok := r.snapshot.Records[address]
	return &rec, ok
}

// over is the block that for_each is all instances of: then each instance is made of the one with its key, and needs no other.
func (n *node) over() (addr.Node, bool) {
	if n.form == nil || n.block.ForEach == nil || len(n.form.expansion) != 1 {
		return addr.Node{}, false
	}
	ref := n.form.expansion[0]
	t, diags := hcl.AbsTraversalForExpr(n.block.ForEach)
	return ref.Node, !diags.HasErrors() && len(t) == 3 && ref.Node.Kind != "" && ref.Key == nil
}

// dependencies finds the instances that needs mean for one who has this each, each once, in the order of the references.
func (r *run) dependencies(n *node, needs []eval.Need, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	d := &dependencies{run: r}
	for _, need := range needs {
		d.add(n, need, each)
	}
	return d.list, d.diags
}

type dependencies struct {
	*run
	list  []addr.Instance
	seen  map[addr.Instance]bool // of a long list
	diags hcl.Diagnostics
}

func (d *dependencies) one(i addr.Instance) {
	const long = 8
	switch {
	case len(d.list) < long:
		if slices.Contains(d.list, i) {
			return
		}
	case d.seen == nil:
		d.seen = make(map[addr.Instance]bool, 2*long)
		for _, had := range d.list {
			d.seen[had] = true
		}
		fallthrough
	default:
		if d.seen[i] {
			return
		}
		d.seen[i] = true
	}
	d.list = append(d.list, i)
}

func (d *dependencies) add(n *node, need eval.Need, each eval.Each) {
	keys, expanded := d.Keys(need.Node)
	if !expanded {
		d.one(addr.Instance{Node: need.Node})
		return
	}
	key, one := need.KeyOf(each)
	if !one {
		for _, k := range keys {
			d.one(addr.Instance{Node: need.Node, Key: k})
		}
		return
	}
	i := addr.Instance{Node: need.Node, Key: key}
	if d.instance(i) == nil {
		address := addr.Instance{Node: n.addr, Key: each.Key}.String()
		d.diags = append(d.diags, diag.OfInstance(diag.Errorf(need.Ref.Range, "An instance that is not there", "%s needs %s, and %s has no such instance.%s",
			address, i, need.Node, nearestKey(key, keys)), address, need.Node.String()))
		return
	}
	d.one(i)
}

// instanceDependencies finds what an instance of a block depends on.
func (r *run) instanceDependencies(n *node, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	if _, over := n.over(); over && len(n.expansion) == 1 {
		if one := (addr.Instance{Node: n.expansion[0].Node, Key: each.Key}); r.instance(one) != nil {
			list, diags := r.dependencies(n, n.needs, each)
			if !slices.Contains(list, one) {
				list = append([]addr.Instance{one}, list...)
			}
			return list, diags
		}
	}
	if len(n.expansion) == 0 {
		return r.dependencies(n, n.needs, each)
	}
	return r.dependencies(n, append(slices.Clone(n.expansion), n.needs...), each)
}

func addresses(list []addr.Instance) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}
