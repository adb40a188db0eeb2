package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// Apply carries out one planned change and ends with its result.
func (s *server) Apply(r *pluginv1.ApplyRequest, stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]) error {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return err
	}
	if t.apply == nil {
		return status.Errorf(codes.InvalidArgument, "a %s is only observed, so it cannot be applied", t.kind)
	}
	if late := r.GetBeginBeforeUnixMs(); late != 0 && time.Now().UnixMilli() >= late {
		return status.Error(codes.Aborted, "it was not started, because it came too late: the requesting run was suspended, and another run may have taken over")
	}
	told, err := s.stacks.calls(r.GetStack())
	if err != nil {
		return err
	}
	ctx, done := s.begin(stream.Context(), r.GetStack(), r.GetOperation())
	defer done()
	a := &applying{typeInfo: t, req: r, stream: stream}
	res := a.run(ctx, told)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	return stream.Send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Result{Result: res}})
}

// applying is one Apply call.
type applying struct {
	*typeInfo
	req    *pluginv1.ApplyRequest
	stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]

	mu    sync.Mutex
	over  bool // a goroutine that a method has left behind is not listened to
	saved *pluginv1.Checkpoint
}

var errOver = errors.New("the operation has ended, so nothing can be saved")

func (a *applying) run(ctx context.Context, told *calls) *pluginv1.ApplyResult {
	res := &pluginv1.ApplyResult{}
	found := guard(a.req.GetAddress(), func() error {
		c, err := a.read()
		if err != nil {
			return err
		}
		a.tell(told)
		told.sensitive = sensitivePaths(a.req.GetSensitivePaths())
		warnings := findings(a.apply(with(ctx, told), c))
		if warnings.failed() || c.action == ActionDelete {
			return warnings
		}
		res.Private = c.resultPrivate
		if res.Outputs, err = a.outputs.write(c.outputs); err != nil {
			return err
		}
		return append(warnings, findings(whole(res.Outputs))...)
	})
	if err := tooLarge(res); err != nil {
		res.Outputs, res.Private = nil, nil
		found = append(found, findings(err)...)
	}
	if found.failed() && res.Outputs == nil {
		a.mu.Lock()
		res.Outputs, res.Private = a.saved.GetOutputs(), a.saved.GetPrivate()
		a.mu.Unlock()
	}
	res.Diagnostics = diagnostics(found)
	return res
}

// whole returns an error for a result with unknown values. The result is kept in state in any case.
func whole(outputs *pluginv1.Value) error {
	n, rest := msgpack.Raw(outputs.GetMsgpack()).Elements()
	for range n {
		var name, v msgpack.Raw
		name, rest = rest.Cut()
		if v, rest = rest.Cut(); v.Has(msgpack.Extension) {
			return &Error{
				Summary: fmt.Sprintf("the plugin answered with a result whose %q is unknown", name.Text()),
				Code:    "plugin.unknown-output", Hint: "This is a defect in the plugin. Please report it to its authors.",
			}
		}
	}
	return nil
}

// read decodes the request.
func (a *applying) read() (*applyCall, error) {
	r := a.req
	c := &applyCall{operation: r.GetOperation(), address: r.GetAddress(), action: actionOf(r.GetAction()), private: r.GetPlannedPrivate()}
	for _, claim := range r.GetTransferred() {
		c.transferred = append(c.transferred, Claim(claim))
	}
	// Its rules were checked when it was planned.
	var d notes
	var err error
	if c.config, d, err = a.config.read(r.GetConfig()); err == nil {
		err = d.err()
	}
	if err != nil {
		return nil, err
	}
	if c.prior, err = a.readRecord(r.GetPrior()); err != nil {
		return nil, err
	}
	if r.GetConfig() == nil && c.prior != nil {
		c.config = c.prior.config
	}
	switch {
	case len(d.unknown) > 0:
		return nil, fmt.Errorf("it cannot be applied: %s", notKnown(d.unknown))
	case c.action == "":
		return nil, fmt.Errorf("davit asked for the action %d, which this plugin does not know", r.GetAction())
	case c.action == ActionDelete && c.prior == nil:
		return nil, errors.New("davit asked for a deletion without a record")
	}
	if c.planned, _, err = a.outputs.read(r.GetPlanned()); err != nil {
		return nil, fmt.Errorf("the planned outputs: %w", err)
	}
	if cp := r.GetCheckpoint(); cp != nil {
		outputs, _, err := a.outputs.read(cp.GetOutputs())
		if err != nil {
			return nil, fmt.Errorf("the outputs that an earlier attempt saved: %w", err)
		}
		c.checkpoint = &record{outputs: outputs, private: cp.GetPrivate()}
	}
	return c, nil
}

// send sends a message of the call. An error is ignored: the host has left, and the context ends as well.
func (a *applying) send(m *pluginv1.ApplyResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		_ = a.stream.Send(m)
	}
}

func (a *applying) tell(c *calls) {
	c.log = func(stream, text string) {
		a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Log{Log: &pluginv1.Log{Stream: line(stream), Line: line(text)}}})
	}
	c.progress = func(message string, done, total int64) {
		a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Progress{Progress: &pluginv1.Progress{Message: line(message), Done: done, Total: total}}})
	}
	c.item = func(key, status, message string) {
		a.send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Item{Item: &pluginv1.ItemProgress{Key: line(key), Status: line(status), Message: line(message)}}})
	}
	c.checkpoint = a.save
}

// save sends a checkpoint.
func (a *applying) save(outputs any, private []byte) error {
	v, err := a.outputs.write(reflect.ValueOf(outputs))
	if err != nil {
		return err
	}
	cp := &pluginv1.Checkpoint{Outputs: v, Private: private}
	if err := tooLarge(cp); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return errOver
	}
	if err := a.stream.Send(&pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Checkpoint{Checkpoint: cp}}); err != nil {
		return fmt.Errorf("saving a part of the result: %w", err)
	}
	a.saved = cp
	return nil
}
