package engine

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
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Plugins is where the engine finds the plugins, by name. They start on first use.
type Plugins interface {
	Client(ctx context.Context, name string) (Client, error)
}

// Client is a running plugin. All calls may be concurrent.
type Client interface {
	Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error)
	Plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error)
	Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error)
	Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error)
	Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error)
	Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error)
}

// Services are what a run needs besides its input: the plugins, the events, and the secrets that it has met. All of it may be used
// concurrently.
type Services struct {
	Plugins Plugins
	Secrets *secret.Secrets
	sink    event.Sink
	run     string // in every event
	beats   beats
}

// newServices returns the services of one run. sink may be nil.
func newServices(p Plugins, sink event.Sink, variables map[string]cty.Value) *Services {
	s := &Services{Plugins: p, Secrets: &secret.Secrets{}, sink: sink}
	s.beats.emit = s.emit
	for _, v := range variables {
		s.Secrets.AddFrom(v)
	}
	return s
}

// emit sends an event, with the time of now.
func (s *Services) emit(ev event.Event) {
	if s.sink != nil {
		ev.Time = time.Now().UTC()
		s.sink(ev)
	}
}

// decode evaluates an instance's body.
func (s *Services) decode(in *instance) (cty.Value, hcl.Diagnostics) {
	v, diags := in.node.typ.Schema.Decode(in.node.block.Body, in.node.scope.Evaluator(in.node.own, in.each))
	for i, d := range diags { // other instances may have the same ones: they are copied before they are changed
		own := *d
		own.EvalContext = nil // its values may be sensitive
		diags[i] = &own
		if in.addr.Module != "" || !in.addr.Key.IsNone() {
			diags[i] = diag.OfInstance(&own, in.addr.String(), d.Summary+"\x00"+d.Detail)
		}
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	v = in.node.typ.Schema.Mark(v)
	s.Secrets.AddFrom(v)
	return v, diags
}

// plan asks a plugin to observe or plan an instance and decodes the outputs.
func (s *Services) plan(ctx context.Context, in *instance, req *pluginv1.PlanRequest, cfg cty.Value) (*pluginv1.PlanResult, cty.Value, hcl.Diagnostics) {
	t := in.node.typ
	req.Address, req.Kind, req.Type = in.addr.String(), t.Kind, t.Name
	if cfg != cty.NilVal {
		var err error
		if req.Config, err = eval.EncodeValue(deep.Unmarked(cfg)); err != nil {
			return nil, cty.NilVal, hcl.Diagnostics{s.failure(in, "planning", err)}
		}
	}
	client, err := s.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{s.failure(in, "planning", err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer s.beats.start(event.Event{Address: req.Address}, cancel)()
	res, err := client.Plan(ctx, req, func(l *pluginv1.Log) {
		s.emit(event.Event{Type: event.Log, Address: req.Address, Stream: s.Secrets.Mask(l.GetStream()), Message: s.Secrets.Mask(l.GetLine())})
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errPlanTimeout) {
		err = cause
	}
	if err != nil {
		return nil, cty.NilVal, hcl.Diagnostics{s.failure(in, "planning", err)}
	}
	diags := s.diagnostics(in, res.GetDiagnostics())
	if diags.HasErrors() {
		return nil, cty.NilVal, diags
	}
	if t.Kind == "policy" || req.GetDestroy() {
		return res, cty.NilVal, diags
	}
	outputs, err := s.decodeOutputs(t, res.GetOutputs())
	if err != nil {
		return nil, cty.NilVal, append(diags, s.failure(in, "planning", err))
	}
	return res, outputs, diags
}

// decodeOutputs reads outputs as the type describes them, and marks what is sensitive.
func (s *Services) decodeOutputs(t *types.Type, v *pluginv1.Value) (cty.Value, error) {
	if v == nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.Plugin)
	}
	outputs, err := eval.DecodeValue(v, t.OutputType)
	if err != nil {
		return cty.NilVal, fmt.Errorf("plugin %q answered with outputs that do not fit its own description: %w", t.Plugin, err)
	}
	if outputs.IsNull() || !outputs.IsKnown() {
		return cty.NilVal, fmt.Errorf("plugin %q answered without outputs: this is a defect of the plugin", t.Plugin)
	}
	outputs = types.MarkSensitive(outputs, t.Sensitive)
	s.Secrets.AddFrom(outputs)
	return s.Secrets.Mark(outputs), nil
}

// failure makes a diagnostic of an error that is not the configuration's fault.
func (s *Services) failure(in *instance, doing string, err error) *hcl.Diagnostic {
	d := diag.Plain(fmt.Sprintf("%s: %s failed", in.addr, doing), s.Secrets.Mask(err.Error()))
	info := diag.Info{Address: in.addr.String()}
	var hinted interface{ HintText() string }
	if errors.As(err, &hinted) {
		info.Hint = hinted.HintText()
	}
	if errors.Is(err, context.Canceled) {
		d.Detail, info.Code = "The run was stopped.", "cancelled"
	}
	d.Extra = info
	if in.node != nil && in.node.block != nil {
		d.Subject = in.node.block.Range.Ptr()
	}
	return d
}

// diagnostics turns a plugin's findings into ones with a place in the files.
func (s *Services) diagnostics(in *instance, list []*pluginv1.Diagnostic) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range list {
		out := &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  s.Secrets.Mask(d.GetSummary()),
			Detail:   s.Secrets.Mask(d.GetDetail()),
			Extra:    diag.Info{Address: in.addr.String(), Code: d.GetCode(), Hint: s.Secrets.Mask(d.GetHint())},
		}
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			out.Severity = hcl.DiagWarning
		}
		if in.node != nil && in.node.block != nil {
			path := pathOf(d.GetPath())
			place, shared := in.node.place(path)
			if shared { // the line alone does not tell which value is meant
				out.Summary = s.Secrets.Mask(plan.PathString(path)) + ": " + out.Summary
			}
			out.Subject = &place
		}
		out.Summary = in.addr.String() + ": " + out.Summary
		diags = append(diags, out)
	}
	return diags
}

// pathOf is a plugin's path, as far as it has steps that there are.
func pathOf(path []*pluginv1.PathStep) cty.Path {
	var p cty.Path
	for _, step := range path {
		switch s := step.GetStep().(type) {
		case *pluginv1.PathStep_Attribute:
			p = p.GetAttr(s.Attribute)
		case *pluginv1.PathStep_Key:
			p = p.IndexString(s.Key)
		case *pluginv1.PathStep_Index:
			p = p.Index(cty.NumberIntVal(s.Index))
		default:
			return p
		}
	}
	return p
}
