package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
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
	snapshot *state.Snapshot
	scope    *eval.Scope
	nodes    map[addr.Node]*node
	secrets  secrets

	deleted []*instance // of which the deletion is planned

	mu    sync.Mutex
	diags hcl.Diagnostics
}

// node is a block on its way.
type node struct {
	block     *config.Block
	typ       *blockType
	refs      []eval.Ref // to blocks, through locals as well
	ctxRefs   []eval.Ref // all, as written
	expansion []eval.Ref // of for_each or count, to blocks
	expanded  bool

	mu        sync.RWMutex
	keys      []addr.Key
	instances map[addr.Key]*instance
}

// instance is one expansion on its way.
type instance struct {
	addr addr.Instance
	node *node
	each eval.Each
	deps []addr.Instance

	config      cty.Value // evaluated; marked where sensitive
	value       cty.Value // what others see
	change      *plan.Change
	observation *plan.Observation
}

func newRun(e *Engine, snapshot *state.Snapshot) *run {
	if snapshot == nil {
		snapshot = &state.Snapshot{}
	}
	r := &run{Engine: e, snapshot: snapshot, nodes: make(map[addr.Node]*node, len(e.Stack.Order))}
	for _, v := range e.Variables {
		r.secrets.addFrom(v)
	}
	r.scope = eval.NewScope(e.Stack, e.Variables, r)
	for _, n := range e.Stack.Order {
		b := e.Stack.Blocks[n]
		own, expansion := e.nodeRefs(b)
		r.nodes[n] = &node{
			block: b, typ: e.Types.of(n), ctxRefs: own,
			refs: r.scope.Blocks(own), expansion: r.scope.Blocks(expansion),
			expanded: b.ForEach != nil || b.Count != nil, instances: map[addr.Key]*instance{},
		}
	}
	return r
}

// Keys implements eval.Instances.
func (r *run) Keys(n addr.Node) ([]addr.Key, bool) {
	node := r.nodes[n]
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
	case in.value == cty.NilVal:
		return cty.DynamicVal
	}
	return in.value
}

func (r *run) instance(i addr.Instance) *instance {
	n := r.nodes[i.Node]
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.instances[i.Key]
}

func (n *node) add(in *instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.keys = append(n.keys, in.addr.Key)
	n.instances[in.addr.Key] = in
}

func (r *run) report(diags ...*hcl.Diagnostic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.diags = append(r.diags, diags...)
}

// decode evaluates an instance's body.
func (r *run) decode(in *instance) (cty.Value, hcl.Diagnostics) {
	ctx, diags := r.scope.Context(in.node.ctxRefs, in.each)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v, more := in.node.typ.config.Decode(in.node.block.Body, ctx)
	for _, d := range more {
		d.EvalContext = nil // its values may be sensitive
	}
	diags = append(diags, more...)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v = markSensitive(v, in.node.typ.config)
	r.secrets.addFrom(v)
	return v, diags
}

// markSensitive marks the arguments that the schema calls sensitive.
func markSensitive(v cty.Value, s *eval.Schema) cty.Value {
	attrs := map[string]cty.Value(nil)
	for name, a := range s.Attributes {
		if a.Sensitive {
			if attrs == nil {
				attrs = v.AsValueMap()
			}
			if x := attrs[name]; !x.IsKnown() || !x.IsNull() {
				attrs[name] = x.Mark(eval.Sensitive)
			}
		}
	}
	if attrs == nil {
		return v
	}
	return cty.ObjectVal(attrs)
}

// planTimeout is when a plugin that neither answers nor fails is given up: no look at the world takes so long.
const planTimeout = 20 * time.Minute

var errPlanTimeout = fmt.Errorf("the plugin did not answer within %s", planTimeout)

// heartbeat tells every ten seconds that something still runs.
func (r *run) heartbeat(ev event.Event) (stop func()) {
	done := make(chan struct{})
	started := time.Now()
	ev.Type = event.Heartbeat
	timer := time.AfterFunc(heartbeatEvery, func() {
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		for {
			ev.ElapsedMS = time.Since(started).Milliseconds()
			r.emit(ev)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		timer.Stop()
		close(done)
	}
}

const heartbeatEvery = 10 * time.Second

// call asks a plugin to observe or plan an instance and decodes the outputs.
func (r *run) call(ctx context.Context, in *instance, req *pluginv1.PlanRequest, cfg cty.Value) (*pluginv1.PlanResult, cty.Value, hcl.Diagnostics) {
	t := in.node.typ
	req.Address, req.Kind, req.Type = in.addr.String(), t.kind, t.name
	if cfg != cty.NilVal {
		plain, _ := cfg.UnmarkDeep()
		var err error
		if req.Config, err = eval.EncodeValue(plain); err != nil {
			return nil, cty.NilVal, hcl.Diagnostics{r.failure(in, "planning", err)}
		}
	}
	client, err := r.Plugins.Client(ctx, t.plugin)
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{r.failure(in, "planning", err)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTimeout, errPlanTimeout)
	defer cancel()
	stop := r.heartbeat(event.Event{Address: req.Address})
	defer stop()
	res, err := client.Plan(ctx, req, func(l *pluginv1.Log) {
		r.emit(event.Event{Type: event.Log, Address: req.Address, Stream: l.GetStream(), Message: r.secrets.mask(l.GetLine())})
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
	if t.kind == "policy" || req.GetDestroy() {
		return res, cty.NilVal, diags
	}
	outputs, err := r.decodeOutputs(t, res.GetOutputs())
	if err != nil {
		return nil, cty.NilVal, append(diags, r.failure(in, "planning", err))
	}
	return res, outputs, diags
}

// decodeOutputs reads outputs as the type describes them, and marks what is sensitive.
func (r *run) decodeOutputs(t *blockType, v *pluginv1.Value) (cty.Value, error) {
	if v == nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.plugin)
	}
	outputs, err := eval.DecodeValue(v, t.outputType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered with outputs that do not fit its own description: %w", t.plugin, err)
	}
	if outputs.IsNull() || !outputs.IsKnown() {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.plugin)
	}
	if len(t.sensitive) > 0 {
		attrs := outputs.AsValueMap()
		for _, name := range t.sensitive {
			attrs[name] = attrs[name].Mark(eval.Sensitive)
		}
		outputs = cty.ObjectVal(attrs)
	}
	r.secrets.addFrom(outputs)
	return r.secrets.mark(outputs), nil
}

// failure makes a diagnostic of an error that is not the configuration's fault.
func (r *run) failure(in *instance, doing string, err error) *hcl.Diagnostic {
	d := diag.Plain(fmt.Sprintf("%s: %s failed", in.addr, doing), r.secrets.mask(err.Error()))
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
			Summary:  in.addr.String() + ": " + r.secrets.mask(d.GetSummary()),
			Detail:   r.secrets.mask(d.GetDetail()),
			Extra:    diag.Info{Address: in.addr.String(), Code: d.GetCode(), Hint: r.secrets.mask(d.GetHint())},
		}
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			out.Severity = hcl.DiagWarning
		}
		if in.node != nil && in.node.block != nil {
			out.Subject = in.node.rangeOf(d.GetPath()).Ptr()
		}
		diags = append(diags, out)
	}
	return diags
}

// rangeOf finds the place of an attribute path: as near as the body's own arguments tell.
func (n *node) rangeOf(path []*pluginv1.PathStep) hcl.Range {
	if len(path) == 0 || n.typ == nil {
		return n.block.Range
	}
	name := path[0].GetAttribute()
	content, _, _ := n.block.Body.PartialContent(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: name}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: name}},
	})
	if a := content.Attributes[name]; a != nil {
		return a.Range
	}
	if len(content.Blocks) > 0 {
		return content.Blocks[0].DefRange
	}
	return n.block.Range
}

// prior returns what state has of an instance, as its plugin wants it. It returns nil if state has nothing.
func (r *run) prior(a addr.Instance, t *blockType) (*pluginv1.Record, *state.Record, error) {
	rec, ok := r.snapshot.Records[a.String()]
	if !ok {
		return nil, nil, nil
	}
	out := &pluginv1.Record{Private: rec.Private}
	for _, part := range []struct {
		from json.RawMessage
		want cty.Type
		into **pluginv1.Value
	}{{rec.Config, t.pluginConfigType(), &out.Config}, {rec.Outputs, t.outputType, &out.Outputs}} {
		v, err := storedValue(part.from)
		if err != nil {
			return nil, nil, fmt.Errorf("the record of %s in state cannot be read: %w", a, err)
		}
		if *part.into, err = eval.EncodeValue(fit(v, part.want)); err != nil {
			return nil, nil, err
		}
	}
	return out, &rec, nil
}

// storedValue reads a value of a record. Nothing stored is NilVal.
func storedValue(b json.RawMessage) (cty.Value, error) {
	if len(b) == 0 {
		return cty.NilVal, nil
	}
	var v plan.Value
	if err := json.Unmarshal(b, &v); err != nil {
		return cty.NilVal, err
	}
	return v.Cty()
}

// overInstances tells whether for_each is a whole block: then each instance is made of the one
// with its key, and needs no other.
func (n *node) overInstances() bool {
	if n.block == nil || n.block.ForEach == nil || len(n.expansion) != 1 {
		return false
	}
	t, diags := hcl.AbsTraversalForExpr(n.block.ForEach)
	return !diags.HasErrors() && len(t) == 3 && n.expansion[0].Key == nil
}

// dependencies finds the instances that in depends on, each once, in the order of the references.
func (r *run) dependencies(n *node, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	var deps []addr.Instance
	var diags hcl.Diagnostics
	seen := map[addr.Instance]bool{}
	add := func(i addr.Instance) {
		if !seen[i] {
			seen[i] = true
			deps = append(deps, i)
		}
	}
	same := n.overInstances()
	for i, ref := range append(slices.Clone(n.expansion), n.refs...) {
		if one := (addr.Instance{Node: ref.Node, Key: each.Key}); same && i < len(n.expansion) && r.instance(one) != nil {
			add(one)
			continue
		}
		keys, expanded := r.Keys(ref.Node)
		if !expanded {
			add(addr.Instance{Node: ref.Node})
			continue
		}
		if key, one := r.scope.Key(ref, each); one {
			i := addr.Instance{Node: ref.Node, Key: key}
			if r.instance(i) == nil {
				diags = append(diags, diag.Errorf(ref.Range, "An instance that is not there", "%s%s needs %s, and %s has no such instance.",
					n.block.Addr, each.Key, i, ref.Node))
				continue
			}
			add(i)
			continue
		}
		for _, k := range keys {
			add(addr.Instance{Node: ref.Node, Key: k})
		}
	}
	return deps, diags
}

func addresses(list []addr.Instance) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}
