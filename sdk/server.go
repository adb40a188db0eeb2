package sdk

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// server serves the protocol for a plugin.
type server struct {
	pluginv1.UnimplementedPluginServer
	plugin *Plugin

	stacks     stacks
	configured sync.Once
	stderr     *os.File // the real one; nil in tests

	mu      sync.Mutex
	running map[*operation]struct{}
}

// operation is a running Apply.
type operation struct {
	stack, id string
	cancel    context.CancelFunc
}

// Register adds the service of the plugin to a gRPC server. Serve does this for a process of its own; Register is for
// tests and for programs that have the plugin inside.
func (p *Plugin) Register(r grpc.ServiceRegistrar) {
	pluginv1.RegisterPluginServer(r, p.server(nil))
}

// server returns the plugin as a service. stderr is nil or the standard error that the process had before go-plugin took it.
func (p *Plugin) server(stderr *os.File) *server {
	return &server{plugin: p, stderr: stderr, running: map[*operation]struct{}{}}
}

// Describe returns a copy: an in-process caller may change it.
func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return proto.CloneOf(s.plugin.description), nil
}

func (s *server) typeOf(kind, name string) (*typeInfo, error) {
	if t := s.plugin.types[typeKey{kind, name}]; t != nil {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "the plugin %s has no %s %q", s.plugin.name, kind, name)
}

func with(ctx context.Context, c *calls) context.Context {
	return context.WithValue(ctx, callsKey{}, c)
}

func (s *server) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return nil, err
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return nil, err
	}
	found := guard(r.GetKind()+" "+r.GetType(), func() error {
		config, d, err := t.config.readConfig(r.GetConfig())
		found := append(findings(err), d.deprecated...)
		// A rule may look at any field, so it is asked only when all are known.
		if err == nil && t.validate != nil && len(d.unknown) == 0 {
			found = append(found, findings(t.validate(with(ctx, told), config))...)
		}
		return found
	})
	return &pluginv1.ValidateResponse{Diagnostics: diagnostics(found)}, nil
}

func (s *server) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	t, err := s.typeOf("image", r.GetType())
	if err != nil {
		return nil, err
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return nil, err
	}
	out := &pluginv1.ResolveResponse{}
	found := guard(r.GetAddress(), func() error {
		config, d, err := t.config.readConfig(r.GetConfig())
		if err != nil {
			return err
		}
		if len(d.unknown) > 0 {
			return fmt.Errorf("the tag cannot be resolved: %s", notKnown(d.unknown))
		}
		res, err := t.resolve(with(ctx, told), r.GetAddress(), config, r.GetTag(), Look(r.GetLook()))
		out.Digest, out.Platforms, out.Artifact = utf8(res.Digest), clean(res.Platforms), utf8(res.Artifact)
		if !res.Created.IsZero() {
			out.CreatedUnix = res.Created.Unix()
		}
		return err
	})
	out.Diagnostics = diagnostics(found)
	return out, nil
}

// Import reads an existing object.
func (s *server) Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error) {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return nil, err
	}
	if t.imported == nil {
		return nil, status.Errorf(codes.Unimplemented, "%s %q cannot take over existing objects", r.GetKind(), r.GetType())
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return nil, err
	}
	out := &pluginv1.ImportResponse{}
	found := guard(r.GetAddress(), func() error {
		config, d, err := t.config.readConfig(r.GetConfig())
		if err != nil {
			return err
		}
		if len(d.unknown) > 0 {
			return fmt.Errorf("it cannot be imported: %s", notKnown(d.unknown))
		}
		outputs, private, err := t.imported(with(ctx, told), r.GetAddress(), r.GetId(), config)
		if err != nil {
			return err
		}
		record := &pluginv1.Record{Config: r.GetConfig(), Private: private}
		if record.Outputs, err = t.outputs.write(outputs); err != nil {
			return err
		}
		out.Record = record
		return nil
	})
	out.Diagnostics = diagnostics(found)
	return out, nil
}

// Cancel ends the contexts of the running operations.
func (s *server) Cancel(_ context.Context, r *pluginv1.CancelRequest) (*pluginv1.CancelResponse, error) {
	named := map[string]bool{}
	for _, id := range r.GetOperations() {
		named[id] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for op := range s.running {
		if (len(named) == 0 || named[op.id]) && (r.GetStack() == "" || r.GetStack() == op.stack) {
			op.cancel()
		}
	}
	return &pluginv1.CancelResponse{}, nil
}

// begin notes a running operation, so that Cancel finds it.
func (s *server) begin(ctx context.Context, stack, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	op := &operation{stack: stack, id: id, cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[op] = struct{}{}
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, op)
		cancel()
	}
}

// guard runs f for an instance. A panic becomes a finding; its stack goes to the plugin's own standard error.
func guard(address string, f func() error) (found Errors) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fmt.Fprintf(os.Stderr, "panic at %s: %v\n%s", address, p, debug.Stack())
		found = Errors{{
			Summary: fmt.Sprintf("the plugin panicked while working on %s: %v", address, p),
			Code:    "plugin.panic",
			Hint:    "This is a defect in the plugin. Please report it to its authors.",
		}}
	}()
	return findings(f())
}
