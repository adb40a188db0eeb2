package sdk

import (
	"context"
	"os"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// stacks are the stacks that the plugin was configured for, by the id that the host gave them. A host that serves one
// stack in each process gives it the id "".
type stacks struct {
	mu    sync.Mutex
	hosts map[string]Host
}

func (s *stacks) put(id string, h Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[string]Host{}
	}
	s.hosts[id] = h
}

func (s *stacks) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hosts, id)
}

// calls returns the start of what a method finds in its context: the Host of the request's stack. A request without a
// stack may come before Configure.
func (s *stacks) calls(id string) (*calls, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.hosts[id]
	if !ok && id != "" {
		return nil, status.Errorf(codes.FailedPrecondition, "the plugin was not configured for the stack %q", id)
	}
	return &calls{host: h}, nil
}

// Configure notes for which stack the plugin works.
func (s *server) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	s.configured.Do(func() {
		if s.stderr != nil {
			// go-plugin has put a pipe in its place, and what is written there just before the end would be lost.
			os.Stderr = s.stderr
		}
	})
	s.stacks.put(r.GetStack(), Host{
		Version: r.GetHostVersion(), CacheDir: r.GetCacheDir(), StackDir: r.GetStackDir(),
		Stack: r.GetStack(), StackName: r.GetStackName(), Lineage: r.GetLineage(),
		Credentials: credentialsOf(r.GetCredentials()),
	})
	return &pluginv1.ConfigureResponse{}, nil
}

// CloseStack forgets a stack.
func (s *server) CloseStack(_ context.Context, r *pluginv1.CloseStackRequest) (*pluginv1.CloseStackResponse, error) {
	s.stacks.drop(r.GetStack())
	return &pluginv1.CloseStackResponse{}, nil
}
