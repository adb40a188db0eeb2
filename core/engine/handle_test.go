package engine_test

import (
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/state"
)

const twoThings = `
application "a" "one" {
  name  = "one"
  plain = "x"
}
application "a" "two" {
  name  = "two"
  plain = "x"
}
application "a" "three" {
  name  = "three"
  plain = application.a.one.name
}
`

func (f *fixture) applyWith(text string, h *engine.Handle) *event.Result {
	f.t.Helper()
	p := f.plan(text)
	e, diags := f.engine(text)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	lease, err := f.store.Lock(f.t.Context(), state.Holder{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer lease.Release(f.t.Context()) //nolint:errcheck // the memory store's cannot fail
	f.events = nil
	res, _ := e.Apply(f.t.Context(), p, engine.ApplyOptions{Store: f.store, Lease: lease, Who: "tester", Handle: h})
	if res == nil {
		f.t.Fatal("there is no result")
	}
	return res
}

// A handle shows what runs, and cancels the operation of one instance: the rest goes on, and the next apply takes the operation up.
func TestOneInstanceIsCancelled(t *testing.T) {
	f := newFixture(t)
	f.world.fail = map[string]string{"one": "hang"}
	h := &engine.Handle{}
	cancelled := make(chan engine.Running)
	go func() {
		for {
			for _, r := range h.Running() {
				if r.Address == "application.a.one" {
					h.Cancel("application.a.other") // which does nothing
					h.Cancel(r.Address)
					cancelled <- r
					return
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	res := f.applyWith(twoThings, h)
	was := <-cancelled
	if was.Action != "create" || was.Operation == "" || was.Since.IsZero() {
		t.Errorf("what ran is %+v", was)
	}
	if len(h.Running()) != 0 || h.Cancel("application.a.one") {
		t.Error("something still runs")
	}
	if len(res.Done) != 1 || len(res.Failed) != 1 || res.Failed[0].Address != "application.a.one" || len(res.NotStarted) != 1 {
		t.Errorf("the result is %+v", res)
	}
	if op := f.snapshot().Operations[was.Operation]; op.Address != "application.a.one" {
		t.Errorf("the operation is not open in state: %+v", op)
	}
	f.world.fail = nil
	f.apply(twoThings)
	f.wantSettled(twoThings)
	if n := len(f.snapshot().Operations); n != 0 {
		t.Errorf("%d operations are open", n)
	}
}

// A handle stops an apply softly, even before it has begun: nothing is started.
func TestAnApplyIsStoppedByItsHandle(t *testing.T) {
	f := newFixture(t)
	h := &engine.Handle{}
	h.Stop()
	if res := f.applyWith(twoThings, h); len(res.NotStarted) != 3 || len(res.Done)+len(res.Failed) != 0 {
		t.Errorf("the result is %+v", res)
	}
	if len(f.world.things) != 0 {
		t.Errorf("what runs is %v", f.world.things)
	}
}

// Every event of a run has its id, and two runs have two.
func TestEventsHaveTheIDOfTheirRun(t *testing.T) {
	f := newFixture(t)
	ids := map[string]bool{}
	for range 2 {
		f.applyWith(twoThings, nil)
		if len(f.events) == 0 {
			t.Fatal("there are no events")
		}
		for _, e := range f.events {
			if e.Run == "" || e.Run != f.events[0].Run {
				t.Errorf("the run of %+v is not %q", e, f.events[0].Run)
			}
		}
		ids[f.events[0].Run] = true
	}
	if len(ids) != 2 {
		t.Errorf("two runs have the ids %v", ids)
	}
}
