package sdk

import (
	"context"
	"errors"
	"reflect"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Watcher is implemented by a type, of any kind but policy and notification, that notices by itself when what it
// observes changes: a webhook, a long poll, a watch of an API. Without it davit looks from time to time.
type Watcher[C any] interface {
	// Watch calls changed when something may have changed, with one line that says what. It goes on until the context
	// ends; an error before that is shown, and davit looks from time to time and tries again. To call
	// changed once too often costs one look.
	Watch(ctx context.Context, config C, changed func(reason string)) error
}

// Watch watches several instances. A type that cannot is refused before anything is begun; an instance that fails ends the stream.
func (s *server) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	if len(r.GetInstances()) == 0 {
		return status.Error(codes.InvalidArgument, "there is nothing to watch")
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return err
	}
	watched := make([]func(context.Context) error, len(r.GetInstances()))
	changed := make(chan *pluginv1.WatchResponse)
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
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
		watched[i] = func(ctx context.Context) error { return t.watchOne(with(ctx, told), in.GetAddress(), config, changed) }
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil) // before they are waited for
	for _, w := range watched {
		running.Go(func() {
			if err := w(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for {
		select {
		case m := <-changed:
			if err := stream.Send(m); err != nil {
				return err
			}
		case <-ctx.Done():
			if err := context.Cause(ctx); stream.Context().Err() == nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// watchOne watches one instance until the context ends.
func (t *typeInfo) watchOne(ctx context.Context, address string, config reflect.Value, changed chan<- *pluginv1.WatchResponse) error {
	found := guard(address, func() error {
		return t.watch(ctx, config, func(reason string) {
			select {
			case changed <- &pluginv1.WatchResponse{Address: address, Reason: utf8(reason)}:
			case <-ctx.Done():
			}
		})
	})
	if ctx.Err() != nil {
		return nil
	}
	if len(found) == 0 {
		found = Errors{{Summary: "it stopped watching"}}
	}
	return status.Errorf(codes.Aborted, "%s: %s", address, found)
}
