package plugintest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// instances is how many instances share a stream.
const instances = 1000

// thousand plans many instances of two configurations over one stream: each must get its own answer.
func (t *trial) thousand(ctx context.Context) outcome {
	const mend = "Answer each request of a Plan stream with the ID of that request, in any order. Work on several at once, but send from one goroutine or thread: a gRPC stream accepts one message at a time."
	return t.crowd(ctx, instances, mend, nil)
}

// concurrent mixes calls of all kinds.
func (t *trial) concurrent(ctx context.Context) outcome {
	const mend = "Calls for one instance and for many come at the same time: guard shared data."
	return t.crowd(ctx, 64, mend, func(ctx context.Context, config cty.Value) error {
		c := t.rig.client
		if _, err := c.Describe(ctx); err != nil {
			return err
		}
		_, err := c.Validate(ctx, &pluginv1.ValidateRequest{Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(config, t.configType)})
		return err
	})
}

const (
	unlikeAlone = "unlike the same instance alone, "
	ownError    = "it has an error: "
	overload    = "Each instance got its own answer, but the type itself fails when many instances are planned at once. Open few connections to " +
		"one server (in Go: MaxConnsPerHost of http.Transport), or let the examples use a server that takes many: python3 -m http.server takes five at a time."
)

// crowd plans n instances at once and compares each answer with that of an instance planned alone.
func (t *trial) crowd(ctx context.Context, n int, mend string, besides func(context.Context, cty.Value) error) outcome {
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	if t.unsteady {
		return skip("two plans of it differ: see the check plan again")
	}
	var configs []cty.Value
	var alone []*pluginv1.PlanResult
	for _, c := range []cty.Value{t.example.config, t.example.changed} {
		if c == cty.NilVal {
			continue
		}
		if res, err := t.plan(ctx, t.request(c), nil); err == nil && !hasError(res.GetDiagnostics()) {
			configs, alone = append(configs, c), append(alone, res)
		}
	}
	if len(configs) == 0 {
		return fail(mend, "the example can no longer be planned")
	}
	problems := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { problems[i] = t.member(ctx, i, configs[i%len(configs)], alone[i%len(alone)], besides) })
	}
	wg.Wait()
	bad, own, first := 0, 0, ""
	for _, p := range problems {
		if p != "" {
			if strings.HasPrefix(p, unlikeAlone+ownError) {
				own++
			}
			if first == "" {
				first = p
			}
			bad++
		}
	}
	if bad > 0 {
		if own == bad { // the plugin has kept to the protocol: each instance got its answer
			mend = overload
		}
		return fail(mend, "of %d instances %d failed, the first: %s", n, bad, first)
	}
	return t.alive(ctx, mend)
}

// member is one instance of the crowd; it returns what is wrong.
func (t *trial) member(ctx context.Context, i int, config cty.Value, alone *pluginv1.PlanResult, besides func(context.Context, cty.Value) error) string {
	r := t.request(config)
	r.Address = fmt.Sprintf("%s[%d]", t.address(), i)
	if besides != nil {
		if err := besides(ctx, config); err != nil {
			return err.Error()
		}
	}
	res, err := t.rig.client.Plan(ctx, r, nil)
	if err != nil {
		return err.Error()
	}
	if d := t.differs(alone, res); d != "" {
		return unlikeAlone + d
	}
	return ""
}

// cancelled cancels an apply that takes long.
func (t *trial) cancelled(ctx context.Context) outcome {
	const mend = "Watch for Cancel during the work, and end the operation with its partial result. In Go: pass the context on."
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	if o := t.chapter(ctx, chapterApply); o.status != Passed {
		return skip("it cannot be applied: see the check apply")
	}
	if t.example.slow == cty.NilVal {
		return skip("the examples have no slow configuration, whose apply could be cancelled")
	}
	planned, err := t.plan(ctx, t.request(t.example.slow), nil)
	if err != nil || hasError(planned.GetDiagnostics()) {
		return fail("Give a slow configuration that works.", "it cannot be planned: %v%s", err, firstError(planned.GetDiagnostics()))
	}
	type ending struct {
		res *pluginv1.ApplyResult
		err error
	}
	ended := make(chan ending, 1)
	go func() {
		res, err := t.apply(ctx, t.operation(t.example.slow, planned, nil), nil)
		ended <- ending{res, err}
	}()
	select {
	case <-ended:
		return skip("the apply of the slow configuration ended within %s, before it could be cancelled", headStart)
	case <-time.After(headStart):
	}
	if err := t.rig.client.Cancel(ctx); err != nil {
		return fail(mend, "%v", err)
	}
	select {
	case e := <-ended:
		if e.err != nil {
			return fail("A cancelled Apply ends with a result like any other: with an error, and with the outputs of the objects that exist.", "%v", e.err)
		}
		if e.res.GetOutputs() != nil { // it is not left behind
			if record := (&pluginv1.Record{Config: t.encode(t.example.slow, t.configType), Outputs: e.res.GetOutputs(), Private: e.res.GetPrivate()}); true {
				t.clean(ctx, record)
			}
		}
		return t.alive(ctx, mend)
	case <-time.After(soon):
		t.rig.close()
		return fail(mend, "a second after Cancel, the apply still ran")
	}
}

// headStart is how long an apply runs before it is cancelled.
const headStart = 300 * time.Millisecond

// clean deletes what a check has made.
func (t *trial) clean(ctx context.Context, record *pluginv1.Record) {
	planned, err := t.plan(ctx, &pluginv1.PlanRequest{Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Prior: record, Destroy: true}, nil)
	if err != nil || hasError(planned.GetDiagnostics()) {
		return
	}
	op := t.operation(t.example.config, planned, record)
	op.Config, op.Action = nil, pluginv1.Action_ACTION_DELETE
	_, _ = t.apply(ctx, op, nil)
}
