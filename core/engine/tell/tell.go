package tell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

const (
	tellTime  = 10 * time.Second // how long one telling may take, and how long an apply waits for all at its end
	tellTries = 3
	tellUntil = 24 * time.Hour // what could not be told by then is given up
)

// telling tells notifications of events. What is to be told is an open operation in state until it was: so it is told
// at least once, by a later run if need be, and nothing waits for it.
type telling struct {
	input    *input.Input
	tree     *world.Tree // its values are those that are known when the event is told
	svc      *service.Services
	snapshot *state.Snapshot
	lease    state.Lease
	who      string
	plan     *plan.Plan
	going    sync.WaitGroup

	mu    sync.Mutex
	diags hcl.Diagnostics
}

// notification is an instance of a notification block, ready to be told.
type notification struct {
	*world.Instance
	config cty.Value
	on     map[string]bool
}

// newTelling is for what is told before anything was applied. It has a tree of its own: what is not known yet must not
// be taken for the values of the run.
func newTelling(in *input.Input, f *world.Forms, svc *service.Services, snapshot *state.Snapshot, lease state.Lease, who string, stop <-chan struct{}) *telling {
	t := world.NewTree(in, f)
	t.Root.StopLate(stop)
	t.ExpandStatic(t.Root)
	return &telling{input: in, tree: t, svc: svc, snapshot: snapshot, lease: lease, who: who}
}

// report keeps diagnostics, without secrets.
func (t *telling) report(diags ...*hcl.Diagnostic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range diags {
		own := *d
		own.Summary, own.Detail = t.svc.Secrets.Mask(d.Summary), t.svc.Secrets.Mask(d.Detail)
		t.diags = append(t.diags, &own)
	}
}

// tell queues an event for all who want it, and begins to tell them.
func (t *telling) tell(ctx context.Context, e *pluginv1.Event) {
	if err := t.queue(ctx, e); err != nil {
		t.warn(config.Notification, "nobody was notified of "+e.GetName(), err.Error(), "")
	}
}

func (t *telling) queue(ctx context.Context, e *pluginv1.Event) error {
	var batch state.Batch
	var told []func()
	for _, n := range t.notifications() {
		if !n.on[e.GetName()] {
			continue
		}
		own := proto.CloneOf(e)
		own.Id = uuid.NewString()
		text, err := protojson.Marshal(own)
		if err != nil {
			return err
		}
		op := state.Operation{
			ID: own.GetId(), Address: n.Addr.String(), Kind: n.Addr.Kind, Type: n.Addr.Type, Plugin: n.Node.Type.Plugin, Action: e.GetName(),
			Begun: time.Now().UTC(), PlanHash: e.GetPlan(), Private: text,
		}
		batch.Begin = append(batch.Begin, op)
		told = append(told, func() { t.deliver(ctx, n, op, own) })
	}
	if batch.Empty() {
		return nil
	}
	if _, err := t.lease.Commit(ctx, batch); err != nil {
		return err
	}
	for _, f := range told {
		t.going.Go(f)
	}
	return nil
}

// again tells what earlier runs could not.
func (t *telling) again(ctx context.Context) {
	open := record.Queued(t.snapshot)
	if len(open) == 0 {
		return
	}
	byAddress := map[string]*notification{}
	for _, n := range t.notifications() {
		byAddress[n.Addr.String()] = n
	}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		op, n := open[id], byAddress[open[id].Address]
		e := &pluginv1.Event{}
		switch err := protojson.Unmarshal(op.Private, e); {
		case n == nil:
			t.giveUp(ctx, op, "its block was removed")
		case err != nil:
			t.giveUp(ctx, op, "its event cannot be read")
		case time.Since(op.Begun) > tellUntil:
			t.giveUp(ctx, op, "it could not be delivered for a day")
		default:
			t.going.Go(func() { t.deliver(ctx, n, op, e) })
		}
	}
}

func (t *telling) giveUp(ctx context.Context, op state.Operation, why string) {
	t.warn(op.Address, "it was not notified of "+op.Action, fmt.Sprintf("The event of %s was dropped: %s.", op.Begun.Format(time.RFC3339), why), "")
	t.end(ctx, op)
}

func (t *telling) end(ctx context.Context, op state.Operation) {
	if _, err := t.lease.Commit(context.WithoutCancel(ctx), state.Batch{End: []string{op.ID}}); err != nil {
		t.warn(op.Address, "it will be notified again", "The state could not be written: "+err.Error(), "")
	}
}

func (t *telling) warn(address, summary, detail, hint string) {
	d := diag.Plain(address+": "+summary, detail)
	d.Severity, d.Extra = hcl.DiagWarning, diag.Info{Address: address, Hint: hint}
	t.report(d)
}

// deliver tells one notification of one event.
func (t *telling) deliver(ctx context.Context, n *notification, op state.Operation, e *pluginv1.Event) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, t.attempt(ctx, n, e) },
		backoff.WithMaxTries(tellTries), backoff.WithBackOff(backoff.NewExponentialBackOff()))
	if err != nil {
		t.warn(op.Address, "it could not be notified of "+op.Action, err.Error(), "The next apply tries again, for a day.")
		return
	}
	t.end(ctx, op)
}

func (t *telling) attempt(ctx context.Context, n *notification, e *pluginv1.Event) error {
	plain, _ := n.config.UnmarkDeep()
	known, missing := knownPart(n.Node.Type.PluginConfig(plain), n.Node.Type.Schema)
	if missing != "" {
		return backoff.Permanent(fmt.Errorf("its argument %q is not known yet", missing))
	}
	value, err := eval.EncodeValue(known)
	if err != nil {
		return backoff.Permanent(err)
	}
	client, err := t.svc.Plugins.Client(ctx, n.Node.Type.Plugin)
	if err != nil {
		return backoff.Permanent(err)
	}
	res, err := client.Notify(ctx, &pluginv1.NotifyRequest{Address: n.Addr.String(), Type: n.Addr.Type, Config: value, Event: e})
	if err != nil {
		return err
	}
	for _, d := range t.svc.Diagnostics(n.Instance, res.GetDiagnostics()) {
		if d.Severity == hcl.DiagError {
			return errors.New(strings.TrimSuffix(strings.TrimPrefix(d.Summary, n.Addr.String()+": ")+": "+d.Detail, ": "))
		}
		t.report(d)
	}
	return nil
}

// knownPart is a configuration without what is not known: an optional argument is null then; a required one is named.
func knownPart(config cty.Value, s *eval.Schema) (known cty.Value, missing string) {
	attrs := config.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if attrs[name].IsWhollyKnown() {
			continue
		}
		if a := s.Attributes[name]; a == nil || a.Required {
			return cty.NilVal, name
		}
		attrs[name] = cty.NullVal(attrs[name].Type())
	}
	return cty.ObjectVal(attrs), ""
}

// notifications evaluates the notification blocks of all module instances, with what is known by now.
func (t *telling) notifications() []*notification {
	var list []*notification
	var visit func(s *eval.Scope)
	visit = func(s *eval.Scope) {
		for _, name := range s.Module.Notifications {
			list = append(list, t.expandNotification(s, name)...)
		}
		for _, name := range s.Module.CallOrder {
			for _, child := range s.Children(name) {
				visit(child)
			}
		}
	}
	visit(t.tree.Root)
	return list
}

func (t *telling) expandNotification(s *eval.Scope, name addr.Node) []*notification {
	block := s.Module.Blocks[name]
	n := t.tree.NewNode(s, block)
	each, diags := s.Expand(n.Addr.String(), block.ForEach, block.Count)
	var list []*notification
	for _, e := range each {
		in := &world.Instance{Addr: addr.Instance{Node: n.Addr, Key: e.Key}, Node: n, Each: e}
		config, more := t.svc.Decode(in)
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		on, err := eventsOf(config)
		if err != nil {
			diags = append(diags, in.Errorf("it is not notified", "%s.", err))
			continue
		}
		list = append(list, &notification{in, config, on})
	}
	t.report(diag.AsWarnings(diags)...) // an apply does not fail because nobody can be told
	return list
}

func eventsOf(c cty.Value) (map[string]bool, error) {
	v, _ := c.GetAttr(kinds.On).UnmarkDeep()
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("the argument %q is unknown", kinds.On)
	}
	on := map[string]bool{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() || !slices.Contains(kinds.Events(), e.AsString()) {
			return nil, fmt.Errorf("%q contains an unknown event. Known events: %s", kinds.On, strings.Join(kinds.Events(), ", "))
		}
		on[e.AsString()] = true
	}
	return on, nil
}

// notifies tells whether there is anything to tell, or anybody to be told.
func notifies(s *config.Stack, snapshot *state.Snapshot) bool {
	if len(record.Queued(snapshot)) > 0 {
		return true
	}
	seen := map[*config.Module]bool{}
	var any func(m *config.Module) bool
	any = func(m *config.Module) bool {
		if m == nil || seen[m] {
			return false
		}
		seen[m] = true
		if len(m.Notifications) > 0 {
			return true
		}
		for _, c := range m.Calls {
			if any(c.Module) {
				return true
			}
		}
		return false
	}
	return any(s.Module)
}

// failure tells notifications that planning failed. The findings that it returns are warnings.
func (t *telling) failure(ctx context.Context, why hcl.Diagnostics) hcl.Diagnostics {
	summary := "planning failed"
	if i := slices.IndexFunc(why, func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagError }); i >= 0 {
		summary += ": " + why[i].Summary
	}
	t.tell(ctx, t.newEvent(kinds.EventFailed, summary))
	t.going.Wait()
	return t.diags
}
