package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Services are what a run needs besides its input: the plugins, the events, and the secrets that it has met. All of it may be used
// concurrently.
type Services struct {
	Plugins Plugins
	Secrets *secret.Secrets
	sink    event.Sink
	run     string // in every event
	Beats   beats
}

// New returns the services of one run, whose id is in every event. sink may be nil.
func New(p Plugins, sink event.Sink, run string, variables map[string]cty.Value) *Services {
	s := &Services{Plugins: p, Secrets: &secret.Secrets{}, sink: sink, run: run}
	s.Beats.emit = s.Emit
	for _, v := range variables {
		s.Secrets.AddFrom(v)
	}
	return s
}

// Quiet returns the same services, which send no events.
func (s *Services) Quiet() *Services {
	q := &Services{Plugins: s.Plugins, Secrets: s.Secrets}
	q.Beats.emit = q.Emit
	return q
}

// Emit sends an event, with the time of now.
func (s *Services) Emit(ev event.Event) {
	if s.sink != nil {
		ev.Time, ev.Run = time.Now().UTC(), s.run
		s.sink(ev)
	}
}

// Decode evaluates an instance's body.
func (s *Services) Decode(in *world.Instance) (cty.Value, hcl.Diagnostics) {
	v, diags := in.Node.Type.Schema.Decode(in.Node.Block.Body, in.Node.Scope.Evaluator(in.Node.References, in.Each))
	for i, d := range diags { // other instances may have the same ones: they are copied before they are changed
		own := *d
		own.EvalContext = nil // its values may be sensitive
		diags[i] = &own
		if in.Addr.Module != "" || !in.Addr.Key.IsNone() {
			diags[i] = diag.OfInstance(&own, in.Addr.String(), d.Summary+"\x00"+d.Detail)
		}
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v = in.Node.Type.Schema.Mark(v)
	s.Secrets.AddFrom(v)
	return v, diags
}

// Plan asks a plugin to observe or plan an instance and decodes the outputs.
func (s *Services) Plan(ctx context.Context, in *world.Instance, req *pluginv1.PlanRequest, cfg cty.Value) (*pluginv1.PlanResult, cty.Value, hcl.Diagnostics) {
	t := in.Node.Type
	req.Address, req.Kind, req.Type = in.Addr.String(), t.Kind, t.Name
	if cfg != cty.NilVal {
		var err error
		if req.Config, err = eval.EncodeValue(deep.Unmarked(cfg)); err != nil {
			return nil, cty.NilVal, hcl.Diagnostics{s.Failure(in, "planning", err)}
		}
		req.SensitivePaths = secret.Paths(cfg)
	}
	client, err := s.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{s.Failure(in, "planning", err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer s.Beats.Start(event.Event{Address: req.Address}, cancel)()
	res, err := client.Plan(ctx, req, func(l *pluginv1.Log) {
		s.Emit(event.Event{Type: event.Log, Address: req.Address, Stream: s.Secrets.Mask(l.GetStream()), Message: s.Secrets.Mask(l.GetLine())})
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errPlanTimeout) {
		err = cause
	}
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{s.Failure(in, "planning", err)}
	}
	diags := s.Diagnostics(in, res.GetDiagnostics())
	if diags.HasErrors() {
		return nil, cty.NilVal, diags
	}
	if t.Decides() || req.GetDestroy() {
		return res, cty.NilVal, diags
	}
	outputs, err := s.DecodeOutputs(t, res.GetOutputs())
	if err != nil {
		return nil, cty.NilVal, append(diags, s.Failure(in, "planning", err))
	}
	return res, outputs, diags
}

// DecodeOutputs reads outputs as the type describes them, and marks what is sensitive.
func (s *Services) DecodeOutputs(t *types.Type, v *pluginv1.Value) (cty.Value, error) {
	if v == nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect in the plugin", t.Plugin)
	}
	outputs, err := eval.DecodeValue(v, t.OutputType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered with outputs that do not fit its own description: %w", t.Plugin, err)
	}
	if outputs.IsNull() || !outputs.IsKnown() {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect in the plugin", t.Plugin)
	}
	outputs = types.MarkSensitive(outputs, t.Sensitive)
	s.Secrets.AddFrom(outputs)
	return s.Secrets.Mark(outputs), nil
}
