package plugintest

import (
	"context"
	"errors"
	"time"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// notifies tells a notification of an event, twice, and of one that it cannot know.
func (t *trial) notifies(ctx context.Context) outcome {
	const mend = "Pass the event on and return no error. The same event may come again with the same ID. Ignore an event whose name you do not know."
	if t.cannot != "" {
		return skip("%s", t.cannot)
	}
	for _, step := range []struct{ what, id, name string }{
		{"an event", "1", "applied"}, {"the same event again", "1", "applied"}, {"another event", "2", "failed"}, {"an event with an unknown name", "3", "dreamt_of"},
	} {
		res, err := t.notify(ctx, t.example.config, event(step.id, step.name))
		if err != nil {
			return fail(mend, "after %s: %v", step.what, err)
		}
		if e := firstError(res.GetDiagnostics()); e != "" {
			if t.example.made {
				return skip("the configuration generated from the schema does not work (%s): write one in %s", short(e), FileNames[0])
			}
			return fail(mend, "after %s: %s", step.what, e)
		}
	}
	return t.alive(ctx, mend)
}

func (t *trial) notify(ctx context.Context, config cty.Value, e *pluginv1.Event) (*pluginv1.NotifyResponse, error) {
	c, err := t.rig.running(ctx)
	if err != nil {
		return nil, err
	}
	return c.Notify(ctx, &pluginv1.NotifyRequest{Address: t.address(), Type: t.typ.GetName(), Config: t.encode(config, t.configType), Event: e})
}

func event(id, name string) *pluginv1.Event {
	return &pluginv1.Event{
		Id: "test-" + id, Name: name, TimeUnixMs: 1767323045000, Stack: "test", Lineage: "test", Plan: "sha256:test", Who: "test@localhost", Summary: "1 done, 1 failed",
		Changes: []*pluginv1.EventChange{
			{Address: "application.test.a", Action: pluginv1.Action_ACTION_CREATE, Outcome: "done", Reasons: []string{"it is new"}},
			{Address: "application.test.b", Action: pluginv1.Action_ACTION_UPDATE, Outcome: "failed", Error: "it did not work"},
		},
	}
}

// listening is how long a watch must stay open.
const listening = 500 * time.Millisecond

// watches opens a watch, which stays open as long as somebody listens, and ends soon after that.
func (t *trial) watches(ctx context.Context) outcome {
	const mend = "Watch runs until its stream ends, even if nothing changes, and ends soon after that. A type without Watch must not set can_watch."
	if !t.typ.GetCanWatch() {
		return skip("the type does not support Watch")
	}
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	c, err := t.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, listening)
	defer cancel()
	wrong := ""
	in := &pluginv1.WatchedInstance{Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(t.example.config, t.configType)}
	failed := ""
	err = c.Watch(ctx, &pluginv1.WatchRequest{Instances: []*pluginv1.WatchedInstance{in}, IntervalMs: time.Minute.Milliseconds()}, func(m *pluginv1.WatchResponse) {
		if m.GetAddress() != t.address() {
			wrong = m.GetAddress()
		}
		failed = m.GetError()
	})
	switch {
	case failed != "":
		return fail(mend, "the watch ended by itself: %s", failed)
	case wrong != "":
		return fail(mend, "it reported %q, which is not watched", wrong)
	case ctx.Err() == nil || err != nil && !errors.Is(err, context.DeadlineExceeded):
		return fail(mend, "the watch ended by itself: %v", err)
	}
	return t.alive(context.WithoutCancel(ctx), mend)
}
