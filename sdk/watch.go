package sdk

import (
	"context"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Watcher is implemented by a type, of any kind but policy and notification, that notices by itself when what it
// observes changes: a webhook, a long poll, a watch of an API. Without it davit looks from time to time.
type Watcher[C, O any] interface {
	// Watch calls notice when something may have changed. It goes on until the context ends. An error before that is shown; davit looks
	// from time to time then, and watches again later. A notice too many costs one look.
	Watch(ctx context.Context, r WatchRequest[C, O], notice func(Notice)) error
}

// WatchRequest says what to watch.
type WatchRequest[C, O any] struct {
	Address string
	Config  C
	// Prior is what davit knows of the instance: the outputs of the last look at an observed one, the record of a managed one. Compare the
	// first look with it, so that no change between the two is missed. Nil when nothing is known.
	Prior *Record[C, O]
	// Interval is how often to look at what does not tell of changes by itself. Zero: the plugin decides.
	Interval time.Duration
}

// Notice is something that a Watcher has noticed.
type Notice struct {
	Reason string // one line for people: what has changed
	// Health is set when only the health of an application has changed, to the new one. Nothing is planned again for it.
	Health string
}

// Watch watches several instances. A type that cannot is refused before anything is begun. An instance that fails is reported in the
// stream, and the others are watched on.
func (s *server) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	if len(r.GetInstances()) == 0 {
		return status.Error(codes.InvalidArgument, "the request names no instance to watch")
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return err
	}
	watched := make([]func(context.Context), len(r.GetInstances()))
	changed := make(chan *pluginv1.WatchResponse)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	for i, in := range r.GetInstances() {
		t, err := s.typeOf(in.GetKind(), in.GetType())
		if err != nil {
			return err
		}
		if t.watch == nil {
			return status.Errorf(codes.Unimplemented, "%s %q does not notice changes by itself", in.GetKind(), in.GetType())
		}
		config, d, err := t.config.readConfig(in.GetConfig())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "%s cannot be watched: %s", in.GetAddress(), err)
		}
		if len(d.unknown) > 0 {
			return status.Errorf(codes.InvalidArgument, "%s cannot be watched: %s", in.GetAddress(), notKnown(d.unknown))
		}
		c := &watchCall{address: in.GetAddress(), config: config, interval: time.Duration(r.GetIntervalMs()) * time.Millisecond}
		if c.prior, err = t.readRecord(in.GetPrior()); err != nil {
			return status.Errorf(codes.InvalidArgument, "%s cannot be watched: %s", in.GetAddress(), err)
		}
		watched[i] = func(ctx context.Context) { t.watchOne(with(ctx, told), c, changed) }
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before they are waited for
	for _, w := range watched {
		running.Go(func() { w(ctx) })
	}
	for {
		select {
		case m := <-changed:
			if err := stream.Send(m); err != nil {
				return err
			}
		case <-ctx.Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// watchCall is one instance that is watched.
type watchCall struct {
	address  string
	config   reflect.Value
	prior    *record
	interval time.Duration
}

// watchOne watches one instance until the context ends, and tells if it cannot go on.
func (t *typeInfo) watchOne(ctx context.Context, c *watchCall, changed chan<- *pluginv1.WatchResponse) {
	tell := func(m *pluginv1.WatchResponse) {
		m.Address = c.address
		select {
		case changed <- m:
		case <-ctx.Done():
		}
	}
	found := guard(c.address, func() error {
		return t.watch(ctx, c, func(n Notice) {
			tell(&pluginv1.WatchResponse{Reason: utf8(n.Reason), Health: utf8(n.Health)})
		})
	})
	if len(found) == 0 {
		found = Errors{{Summary: "it stopped watching"}}
	}
	tell(&pluginv1.WatchResponse{Error: utf8(found.Error())})
}
