package sdk

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Notifier receives the events of a stack.
type Notifier[C any] interface {
	// Notify passes an event on. davit may send the event again with the same Event.ID: after an error, which davit shows as
	// a warning, and after a kill before the answer arrived. An apply waits ten seconds at most for all notifications.
	Notify(ctx context.Context, config C, event Event) error
}

// Notification makes a type of kind "notification".
func Notification[C any](name string, n Notifier[C], options ...Option) Type {
	t := compile[C, struct{}]("notification", name, n, options)
	t.notify = func(ctx context.Context, config reflect.Value, e Event) error {
		return n.Notify(ctx, typed[C](config), e)
	}
	return t
}

// The names of events. Ignore unknown names: later versions may add some.
const (
	EventPlanned = "planned" // an apply begins, with these changes
	EventApplied = "applied" // an apply has ended well
	EventFailed  = "failed"  // planning or applying has failed, in part at least
)

// Event is something that happened to a stack.
type Event struct {
	ID      string // the same each time that it is told
	Name    string // EventPlanned, ...
	Time    time.Time
	Stack   string // name of its folder
	Lineage string // tells one stack's state from another's
	Plan    string // digest
	Who     string // user@host
	Summary string // one line: "3 done, 1 failed, 2 not started"
	Changes []EventChange
}

// EventChange is the change of one instance. Unchanged instances are left out.
type EventChange struct {
	Address string // `application.kubernetes.api["prod"]`
	Action  Action
	Outcome string // "planned", "done", "failed", "not_started"
	Error   string // of a failed one; one line
	Reasons []string
	Images  []EventImage
}

// EventImage is an image that an application runs.
type EventImage struct {
	Name   string // where: "Deployment/shop/web:api"
	Before string // empty when new
	After  string // empty when removed; a known beginning when the end is not known yet
}

// Notify passes an event to a type.
func (s *server) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	t, err := s.typeOf("notification", r.GetType())
	if err != nil {
		return nil, err
	}
	if t.notify == nil {
		return nil, status.Errorf(codes.Unimplemented, "notification %q does not handle events", r.GetType())
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return nil, err
	}
	found := guard(r.GetAddress(), func() error {
		config, d, err := t.config.readConfig(r.GetConfig())
		if err != nil {
			return err
		}
		if len(d.unknown) > 0 {
			return fmt.Errorf("the event cannot be handled: %s", notKnown(d.unknown))
		}
		return t.notify(with(ctx, told), config, readEvent(r.GetEvent()))
	})
	return &pluginv1.NotifyResponse{Diagnostics: diagnostics(found)}, nil
}

func readEvent(e *pluginv1.Event) Event {
	out := Event{
		ID: e.GetId(), Name: e.GetName(), Time: time.UnixMilli(e.GetTimeUnixMs()).UTC(), Stack: e.GetStack(), Lineage: e.GetLineage(),
		Plan: e.GetPlan(), Who: e.GetWho(), Summary: e.GetSummary(),
	}
	for _, c := range e.GetChanges() {
		change := EventChange{Address: c.GetAddress(), Action: actionOf(c.GetAction()), Outcome: c.GetOutcome(), Error: c.GetError(), Reasons: c.GetReasons()}
		for _, i := range c.GetImages() {
			change.Images = append(change.Images, EventImage{Name: i.GetName(), Before: i.GetBefore(), After: i.GetAfter()})
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}
