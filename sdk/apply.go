package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func (s *server) Apply(r *pluginv1.ApplyRequest, stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]) error {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return err
	}
	ctx, done := s.begin(stream.Context(), r.GetOperation())
	defer done()
	a := &applier{typeInfo: t, stream: stream}
	c, err := a.read(r)
	if err == nil {
		told := s.calls()
		a.tell(told)
		err = guard(func() error { return t.apply(with(ctx, told), c) })
	}
	res := &pluginv1.ApplyResult{Diagnostics: diagnostics(err)}
	switch {
	case err != nil:
		res.Outputs, res.Private = a.saved.GetOutputs(), a.saved.GetPrivate()
	case c.action == ActionDelete:
	default:
		if res.Outputs, err = t.outputs.write(c.outputs); err != nil {
			return err
		}
		res.Private = c.resultPrivate
	}
	return a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Result{Result: res}})
}

// begin notes a running operation, so that Cancel finds it.
func (s *server) begin(ctx context.Context, operation string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[operation] = cancel
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, operation)
		cancel()
	}
}

func (s *server) Cancel(_ context.Context, r *pluginv1.CancelRequest) (*pluginv1.CancelResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(r.GetOperations()) == 0 {
		for _, cancel := range s.running {
			cancel()
		}
	}
	for _, id := range r.GetOperations() {
		if cancel := s.running[id]; cancel != nil {
			cancel()
		}
	}
	return &pluginv1.CancelResponse{}, nil
}

// applier is one Apply call.
type applier struct {
	*typeInfo
	stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]
	mu     sync.Mutex
	saved  *pluginv1.Checkpoint
}

func (a *applier) send(m *pluginv1.ApplyResponse) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stream.Send(m)
}

func (a *applier) read(r *pluginv1.ApplyRequest) (*applyCall, error) {
	c := &applyCall{operation: r.GetOperation(), address: r.GetAddress(), action: actionOf(r.GetAction()), private: r.GetPlannedPrivate()}
	config, d, err := a.config.read(r.GetConfig())
	if err == nil {
		err = d.err()
	}
	if err != nil {
		return nil, err
	}
	if len(d.unknown) > 0 {
		return nil, fmt.Errorf("davit sent an unknown value for %s at apply", pathText(d.unknown[0]))
	}
	c.config = config
	if c.prior, err = a.readRecord(r.GetPrior()); err != nil {
		return nil, err
	}
	if r.GetConfig() == nil && c.prior != nil {
		c.config = c.prior.config
	}
	if c.action == ActionDelete && c.prior == nil {
		return nil, errors.New("davit asked to delete what it has no record of")
	}
	if c.planned, _, err = a.outputs.read(r.GetPlanned()); err != nil {
		return nil, err
	}
	if cp := r.GetCheckpoint(); cp != nil {
		outputs, _, err := a.outputs.read(cp.GetOutputs())
		if err != nil {
			return nil, err
		}
		c.checkpoint = &record{outputs: outputs, private: cp.GetPrivate()}
	}
	return c, nil
}

func (a *applier) tell(c *calls) {
	// Nobody listens any more when a message cannot be sent; the context ends then as well.
	c.log = func(stream, line string) {
		_ = a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Log{Log: &pluginv1.Log{Stream: text(stream), Line: text(line)}}})
	}
	c.progress = func(message string, done, total int64) {
		_ = a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Progress{Progress: &pluginv1.Progress{Message: text(message), Done: done, Total: total}}})
	}
	c.item = func(key, status, message string) {
		_ = a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Item{Item: &pluginv1.ItemProgress{Key: text(key), Status: text(status), Message: text(message)}}})
	}
	c.checkpoint = func(outputs any, private []byte) error {
		v, err := a.outputs.write(reflect.ValueOf(outputs))
		if err != nil {
			return err
		}
		cp := &pluginv1.Checkpoint{Outputs: v, Private: private}
		a.mu.Lock()
		a.saved = cp
		a.mu.Unlock()
		return a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Checkpoint{Checkpoint: cp}})
	}
}

func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// diagnostics turns an error into findings.
func diagnostics(err error) []*pluginv1.Diagnostic {
	if err == nil {
		return nil
	}
	var many Errors
	var one *Error
	switch {
	case errors.As(err, &many):
		var list []*pluginv1.Diagnostic
		for _, e := range many {
			list = append(list, diagnostic(e, e))
		}
		return list
	case errors.As(err, &one):
		return []*pluginv1.Diagnostic{diagnostic(one, err)}
	case errors.Is(err, context.Canceled):
		return []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "stopped", Detail: "The run was stopped while this was going on.", Code: "cancelled"}}
	}
	return []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: text(err.Error())}}
}

func diagnostic(e *Error, whole error) *pluginv1.Diagnostic {
	d := &pluginv1.Diagnostic{
		Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: text(e.Summary), Detail: text(e.Detail), Code: e.Code, Hint: text(e.Hint),
	}
	if e.Warning {
		d.Severity = pluginv1.Diagnostic_SEVERITY_WARNING
	}
	if d.Detail == "" && e.Err != nil {
		d.Detail = text(e.Err.Error())
	}
	// What was wrapped around the finding says what was being done.
	if around, ok := strings.CutSuffix(whole.Error(), e.Error()); ok && around != "" {
		d.Summary = text(around) + d.Summary
	}
	for _, step := range e.Path {
		switch step := step.(type) {
		case int:
			d.Path = append(d.Path, &pluginv1.PathStep{Step: &pluginv1.PathStep_Index{Index: int64(step)}})
		case string:
			if len(d.Path) == 0 {
				d.Path = append(d.Path, &pluginv1.PathStep{Step: &pluginv1.PathStep_Attribute{Attribute: step}})
				continue
			}
			d.Path = append(d.Path, &pluginv1.PathStep{Step: &pluginv1.PathStep_Key{Key: step}})
		}
	}
	return d
}
