package view_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/view"
)

// The status line counts what was planned from the first second on, names what is waited for, and leaves nothing behind.
func TestStatusLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		var next []event.Event
		s := view.NewStatus(&b, 60, func(e event.Event) { next = append(next, e) })
		s.Sink(event.Event{Type: event.Log, Address: "a.b.before"})
		s.Start()
		wait := func(want string) {
			t.Helper()
			time.Sleep(700 * time.Millisecond)
			synctest.Wait()
			if got := b.String()[strings.LastIndexByte(b.String(), '\r')+1:]; got != want+"\x1b[K" {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		wait("Planning: starting plugins (1s)")
		s.Sink(event.Event{Type: event.Observed, Address: "source.git.repo"})
		s.Sink(event.Event{Type: event.Planned, Address: "application.a.b"})
		s.Sink(event.Event{Type: event.Planned, Address: "application.a.c"})
		wait("Planning: 1 observed, 2 planned (1s)")
		s.Sink(event.Event{Type: event.Heartbeat, Address: "source.git.slow\x1b[2J", ElapsedMS: 1000})
		wait("Planning: 1 observed, 2 planned, waiting for source.git....")
		s.Stop()
		if !strings.HasSuffix(b.String(), "\r\x1b[K") {
			t.Errorf("the line is still there: %q", b.String())
		}
		s.Stop()
		s.Sink(event.Event{Type: event.Heartbeat, Address: "a.b.after"})
		if len(next) != 5 || next[0].Address != "a.b.before" || next[4].Address != "a.b.after" {
			t.Errorf("passed on: %v", next)
		}
		var none *view.Status
		none.Start()
		none.Stop()
	})
}

// Where nobody looks at a terminal, an operation that ends well prints one line for all of its items; one that fails lists them.
func TestProgressFoldsItems(t *testing.T) {
	var b bytes.Buffer
	sink := view.Progress(&b, view.Options{Fold: true})
	for _, address := range []string{"a.b.good", "a.b.bad"} {
		sink(event.Event{Type: event.OperationStart, Address: address, Action: "create"})
		for _, item := range []string{"Deployment/web", "Service/web"} {
			sink(event.Event{Type: event.Item, Address: address, Item: item, Status: "waiting"})
			sink(event.Event{Type: event.Item, Address: address, Item: item, Status: "ready"})
		}
	}
	sink(event.Event{Type: event.OperationDone, Address: "a.b.good", Action: "create", ElapsedMS: 1500})
	sink(event.Event{Type: event.OperationFailed, Address: "a.b.bad", Action: "create", ElapsedMS: 1500})
	want := `a.b.good: creating ...
a.b.bad: creating ...
a.b.good: created in 1.5s (2 items)
a.b.bad: Deployment/web: ready
a.b.bad: Service/web: ready
a.b.bad: FAILED after 1.5s
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
