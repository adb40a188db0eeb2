package sdk

import (
	"context"
	"fmt"
	"reflect"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Type is one type of a plugin, made by Source, Image, Policy, Build or Application.
type Type interface {
	// Kind returns "source", "image", "policy", "build" or "application".
	Kind() string
	// Name returns the block's first label.
	Name() string

	compiled() *typeInfo
}

// Option says more about a type.
type Option func(*typeInfo)

// Description is the type's one paragraph in the reference.
func Description(text string) Option { return func(t *typeInfo) { t.description = text } }

// CannotRecover says that the type cannot look for the result of an operation that was cut off.
func CannotRecover() Option { return func(t *typeInfo) { t.cannotRecover = true } }

// typeInfo is a type with its Go types erased.
type typeInfo struct {
	kind, name    string
	description   string
	cannotRecover bool

	config, outputs *object
	validate        func(ctx context.Context, config reflect.Value) error
	plan            func(ctx context.Context, c *planCall) error
	resolve         func(ctx context.Context, config reflect.Value, tag string) (Resolved, error)
	apply           func(ctx context.Context, c *applyCall) error
	prior, pinned   func(v reflect.Value) any
}

func (t *typeInfo) Kind() string { return t.kind }

func (t *typeInfo) Name() string { return t.name }

func (t *typeInfo) compiled() *typeInfo { return t }

// record is a Record[C, O] with its types erased.
type record struct {
	config, outputs reflect.Value
	private         []byte
}

// planCall is one call of Plan, Observe or Decide and its answer.
type planCall struct {
	address    string
	config     reflect.Value
	prior      *record
	destroy    bool
	private    []byte
	candidates Candidates

	result  PlanResult[any] // Outputs is not used
	outputs reflect.Value
	answer  *Decision
}

// applyCall is one call of Apply or Destroy and its answer.
type applyCall struct {
	operation, address string
	action             Action
	config             reflect.Value
	prior              *record
	planned            reflect.Value
	private            []byte
	checkpoint         *record

	outputs       reflect.Value
	resultPrivate []byte
}

// required are the outputs that every type of a kind has.
var required = map[string][]string{
	"source":      {"revision", "tree", "time"},
	"image":       {"repository", "tags"},
	"build":       {"repository", "tag", "digest", "ref", "key", "platforms"},
	"application": {"revision", "health", "items"},
}

// reserved are the arguments that davit adds to a kind's types.
var reserved = map[string][]string{"image": {"builds"}, "policy": {"image", "allow_older"}}

func compile[C, O any](kind, name string, impl any, options []Option) *typeInfo {
	t := &typeInfo{kind: kind, name: name}
	for _, o := range options {
		o(t)
	}
	var err error
	if t.config, err = newObject(reflect.TypeFor[C]()); err != nil {
		panic(fmt.Sprintf("%s %q: configuration: %v", kind, name, err))
	}
	if t.outputs, err = newObject(reflect.TypeFor[O]()); err != nil {
		panic(fmt.Sprintf("%s %q: outputs: %v", kind, name, err))
	}
	for _, r := range append([]string{"address", "for_each", "count", "depends_on", "lifecycle"}, reserved[kind]...) {
		if t.config.lacks(r) == "" || t.outputs.lacks(r) == "" {
			panic(fmt.Sprintf("%s %q: %q is davit's own", kind, name, r))
		}
	}
	if missing := t.outputs.lacks(required[kind]...); missing != "" {
		panic(fmt.Sprintf("%s %q: its outputs lack %q, which every %s has", kind, name, missing, kind))
	}
	if v, ok := impl.(Validator[C]); ok {
		t.validate = func(ctx context.Context, c reflect.Value) error { return v.Validate(ctx, c.Interface().(C)) }
	}
	t.prior = func(v reflect.Value) any {
		o := v.Interface().(O)
		return &o
	}
	t.pinned = t.prior
	return t
}

func observer[C, O any](t *typeInfo, s Observer[C, O]) {
	t.plan = func(ctx context.Context, c *planCall) error {
		out, err := s.Observe(ctx, c.config.Interface().(C))
		c.result.Action, c.outputs = ActionNone, reflect.ValueOf(out)
		return err
	}
}

// Source makes a type of kind "source". O must embed SourceOutputs.
func Source[C, O any](name string, s Observer[C, O], options ...Option) Type {
	t := compile[C, O]("source", name, s, options)
	observer(t, s)
	return t
}

// Image makes a type of kind "image". O must embed ImageOutputs.
func Image[C, O any](name string, i ImageObserver[C, O], options ...Option) Type {
	t := compile[C, O]("image", name, i, options)
	observer(t, Observer[C, O](i))
	t.resolve = func(ctx context.Context, c reflect.Value, tag string) (Resolved, error) {
		return i.Resolve(ctx, c.Interface().(C), tag)
	}
	return t
}

// policyOutputs are the outputs that davit gives every policy.
type policyOutputs struct {
	Tag      string        `davit:"tag" doc:"The tag that was chosen."`
	Digest   Value[string] `davit:"digest" doc:"The digest behind the tag."`
	Ref      Value[string] `davit:"ref" doc:"repository:tag@digest."`
	Reason   string        `davit:"reason" doc:"Why this tag."`
	Rejected []rejection   `davit:"rejected" doc:"Tags that were not acceptable, and why."`
}

type rejection struct {
	Tag    string `davit:"tag"`
	Reason string `davit:"reason"`
}

// Policy makes a type of kind "policy". Its outputs are davit's.
func Policy[C any](name string, p Decider[C], options ...Option) Type {
	t := compile[C, policyOutputs]("policy", name, p, options)
	t.plan = func(ctx context.Context, c *planCall) error {
		d, err := p.Decide(ctx, c.config.Interface().(C), c.candidates)
		c.result.Action, c.answer = ActionNone, &d
		return err
	}
	return t
}

// Build makes a type of kind "build". O must embed BuildOutputs.
func Build[C, O any](name string, b Managed[C, O], options ...Option) Type {
	return managed("build", name, b, options)
}

// Application makes a type of kind "application". O must embed ApplicationOutputs.
func Application[C, O any](name string, a Managed[C, O], options ...Option) Type {
	return managed("application", name, a, options)
}

func managed[C, O any](kind, name string, m Managed[C, O], options []Option) Type {
	t := compile[C, O](kind, name, m, options)
	t.plan = func(ctx context.Context, c *planCall) error {
		res, err := m.Plan(ctx, PlanRequest[C, O]{
			Address: c.address, Config: typed[C](c.config), Prior: typedRecord[C, O](c.prior), Destroy: c.destroy, Private: c.private,
		})
		c.result = PlanResult[any]{Action: res.Action, Reasons: res.Reasons, Items: res.Items, Images: res.Images, Private: res.Private}
		c.outputs = reflect.ValueOf(res.Outputs)
		return err
	}
	t.apply = func(ctx context.Context, c *applyCall) error {
		if c.action == ActionDelete {
			return m.Destroy(ctx, DestroyRequest[C, O]{
				Operation: c.operation, Address: c.address, Config: typed[C](c.config), Prior: *typedRecord[C, O](c.prior), Private: c.private,
			})
		}
		r := ApplyRequest[C, O]{
			Operation: c.operation, Address: c.address, Action: c.action, Config: typed[C](c.config),
			Prior: typedRecord[C, O](c.prior), Planned: typed[O](c.planned), Private: c.private,
		}
		if c.checkpoint != nil {
			r.Checkpoint = &Result[O]{Outputs: typed[O](c.checkpoint.outputs), Private: c.checkpoint.private}
		}
		res, err := m.Apply(ctx, r)
		c.outputs, c.resultPrivate = reflect.ValueOf(res.Outputs), res.Private
		return err
	}
	return t
}

func typed[T any](v reflect.Value) T {
	if !v.IsValid() {
		var zero T
		return zero
	}
	return v.Interface().(T)
}

func typedRecord[C, O any](r *record) *Record[C, O] {
	if r == nil {
		return nil
	}
	return &Record[C, O]{Config: typed[C](r.config), Outputs: typed[O](r.outputs), Private: r.private}
}

// fresh returns a new zero struct of an object's type.
func (o *object) fresh() reflect.Value { return reflect.New(o.goType).Elem() }

// wireType is the type of an object on the wire.
func (o *object) wireType() cty.Type { return o.t.WithoutOptionalAttributesDeep() }

// Describe returns what the plugin tells of itself.
func (p *Plugin) Describe() *pluginv1.DescribeResponse {
	out := &pluginv1.DescribeResponse{Name: p.name, Version: p.version}
	for _, t := range p.types {
		out.Types = append(out.Types, p.describe(t.compiled()))
	}
	return out
}

func (p *Plugin) describe(t *typeInfo) *pluginv1.Type {
	config, err := t.config.describe()
	if err != nil {
		panic(fmt.Sprintf("%s %q: %v", t.kind, t.name, err)) // New has seen the same structs
	}
	outputs, err := t.outputs.describe()
	if err != nil {
		panic(fmt.Sprintf("%s %q: %v", t.kind, t.name, err))
	}
	return &pluginv1.Type{Kind: t.kind, Name: t.name, Description: t.description, Config: config, Outputs: outputs, CannotRecover: t.cannotRecover}
}
