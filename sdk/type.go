package sdk

import (
	"context"
	"fmt"
	"reflect"
	"slices"
)

// Type is one type of a plugin, made by Source, Image, Policy, Build, Application or Notification.
type Type interface {
	// Kind returns "source", "image", "policy", "build", "application" or "notification".
	Kind() string
	// Name returns the block's first label.
	Name() string

	compiled() *typeInfo
}

// Option is an optional property of a type.
type Option func(*typeInfo)

// Description is the type's one paragraph in the reference.
func Description(text string) Option { return func(t *typeInfo) { t.description = text } }

// CannotRecover declares that the type cannot find the result of an interrupted operation.
func CannotRecover() Option { return func(t *typeInfo) { t.cannotRecover = true } }

// typeInfo is a type with its Go types erased.
type typeInfo struct {
	kind, name    string
	description   string
	cannotRecover bool

	config, outputs *object
	validate        func(ctx context.Context, config reflect.Value) error
	plan            func(ctx context.Context, c *planCall) error
	resolve         func(ctx context.Context, address string, config reflect.Value, tag string, look Look) (Resolved, error)
	apply           func(ctx context.Context, c *applyCall) error
	imported        func(ctx context.Context, address, id string, config reflect.Value) (outputs reflect.Value, private []byte, err error)
	notify          func(ctx context.Context, config reflect.Value, e Event) error
	watch           func(ctx context.Context, c *watchCall, notice func(Notice)) error
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
	pinned     reflect.Value // the zero Value: nothing is pinned
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
	transferred        []Claim

	outputs       reflect.Value
	resultPrivate []byte
}

// promised are the outputs that every type of a kind has, in the form that they have there.
var promised = map[string]struct {
	names []string
	form  reflect.Type
}{
	"source":      {[]string{"revision", "tree", "time"}, reflect.TypeFor[SourceOutputs]()},
	"image":       {[]string{"repository", "tags"}, reflect.TypeFor[ImageOutputs]()},
	"build":       {[]string{"repository", "tag", "digest", "ref", "key", "platforms"}, reflect.TypeFor[BuildOutputs]()},
	"application": {[]string{"revision", "health", "items"}, reflect.TypeFor[ApplicationOutputs]()},
}

// reserved are the arguments that davit adds to blocks: to all of them under "", and to those of a kind.
var reserved = map[string][]string{
	"":       {"address", "for_each", "count", "depends_on", "lifecycle", "precondition", "postcondition"},
	"image":  {"builds"},
	"policy": {"image", "allow_older"},

	"notification": {"on"},
}

func compile[C, O any](kind, name string, impl any, options []Option) *typeInfo {
	t := &typeInfo{kind: kind, name: name}
	for _, o := range options {
		o(t)
	}
	if err := t.compile(reflect.TypeFor[C](), reflect.TypeFor[O]()); err != nil {
		panic(fmt.Sprintf("%s %q: %v", kind, name, err))
	}
	if v, ok := impl.(Validator[C]); ok {
		t.validate = func(ctx context.Context, c reflect.Value) error { return v.Validate(ctx, typed[C](c)) }
	}
	if w, ok := impl.(Watcher[C, O]); ok && kind != "policy" && kind != "notification" {
		t.watch = func(ctx context.Context, c *watchCall, notice func(Notice)) error {
			r := WatchRequest[C, O]{Address: c.address, Config: typed[C](c.config), Prior: typedRecord[C, O](c.prior), Interval: c.interval}
			return w.Watch(ctx, r, notice)
		}
	}
	return t
}

// compile makes the codecs, and checks what the kind promises.
func (t *typeInfo) compile(config, outputs reflect.Type) error {
	if !reName.MatchString(t.name) {
		return fmt.Errorf("%q is not a name: use lower-case letters, digits and _", t.name)
	}
	var err error
	if t.config, err = new(compiler).object(config, inConfig); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if t.outputs, err = new(compiler).object(outputs, inOutputs); err != nil {
		return fmt.Errorf("outputs: %w", err)
	}
	for _, name := range slices.Concat(reserved[""], reserved[t.kind]) {
		if t.config.field(name) != nil {
			return fmt.Errorf("configuration: %q is reserved for davit", name)
		}
	}
	for _, name := range slices.Concat([]string{"address"}, reserved[t.kind]) {
		if t.outputs.field(name) != nil {
			return fmt.Errorf("outputs: %q is reserved for davit", name)
		}
	}
	return t.keepsPromise()
}

func (t *typeInfo) keepsPromise() error {
	promise, ok := promised[t.kind]
	if !ok {
		return nil
	}
	want, err := new(compiler).object(promise.form, inOutputs)
	if err != nil {
		return err
	}
	for _, name := range promise.names {
		f := t.outputs.field(name)
		if f == nil {
			return fmt.Errorf("its outputs lack %q, which every %s must have: embed sdk.%s", name, t.kind, promise.form.Name())
		}
		if w := want.field(name).codec.typ(); !f.codec.typ().Equals(w) {
			return fmt.Errorf("its output %q is %s and must be %s: embed sdk.%s", name, f.codec.typ().FriendlyName(), w.FriendlyName(), promise.form.Name())
		}
	}
	return nil
}

func observer[C, O any](t *typeInfo, s Observer[C, O]) {
	t.plan = func(ctx context.Context, c *planCall) error {
		r := ObserveRequest[C, O]{Address: c.address, Config: typed[C](c.config)}
		if c.prior != nil {
			r.Prior = outputsOf[O](c.prior.outputs)
		}
		if c.pinned.IsValid() {
			r.Pinned = outputsOf[O](c.pinned)
		}
		out, err := s.Observe(ctx, r)
		c.result.Action, c.outputs = ActionNone, reflect.ValueOf(&out).Elem()
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
	t.resolve = func(ctx context.Context, address string, c reflect.Value, tag string, look Look) (Resolved, error) {
		return i.Resolve(ctx, ResolveRequest[C]{Address: address, Config: typed[C](c), Tag: tag, Look: look})
	}
	return t
}

// policyOutputs are the outputs that davit gives every policy.
type policyOutputs struct {
	Tag      string        `davit:"tag" doc:"The tag that was chosen."`
	Digest   Value[string] `davit:"digest" doc:"The digest behind the tag."`
	Ref      Value[string] `davit:"ref" doc:"repository:tag@digest."`
	Reason   string        `davit:"reason" doc:"Why this tag."`
	Rejected []rejection   `davit:"rejected" doc:"Rejected tags, and why."`
}

type rejection struct {
	Tag    string `davit:"tag"`
	Reason string `davit:"reason"`
}

// Policy makes a type of kind "policy". Its outputs are davit's.
func Policy[C any](name string, p Decider[C], options ...Option) Type {
	t := compile[C, policyOutputs]("policy", name, p, options)
	t.plan = func(ctx context.Context, c *planCall) error {
		d, err := p.Decide(ctx, DecideRequest[C]{Address: c.address, Config: typed[C](c.config), Candidates: c.candidates})
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
		c.result = PlanResult[any]{Action: res.Action, Reasons: res.Reasons, Causes: res.Causes, Claims: res.Claims, Items: res.Items, Images: res.Images, Private: res.Private}
		c.outputs = reflect.ValueOf(&res.Outputs).Elem()
		return err
	}
	if i, ok := m.(Importer[C, O]); ok {
		t.imported = func(ctx context.Context, address, id string, config reflect.Value) (reflect.Value, []byte, error) {
			res, err := i.Import(ctx, ImportRequest[C]{Address: address, Config: typed[C](config), ID: id})
			return reflect.ValueOf(&res.Outputs).Elem(), res.Private, err
		}
	}
	t.apply = func(ctx context.Context, c *applyCall) error {
		if c.action == ActionDelete {
			return m.Destroy(ctx, DestroyRequest[C, O]{
				Operation: c.operation, Address: c.address, Config: typed[C](c.config), Prior: *typedRecord[C, O](c.prior), Private: c.private,
				Transferred: c.transferred,
			})
		}
		r := ApplyRequest[C, O]{
			Operation: c.operation, Address: c.address, Action: c.action, Config: typed[C](c.config),
			Prior: typedRecord[C, O](c.prior), Planned: typed[O](c.planned), Private: c.private, Transferred: c.transferred,
		}
		if c.checkpoint != nil {
			r.Checkpoint = &Result[O]{Outputs: typed[O](c.checkpoint.outputs), Private: c.checkpoint.private}
		}
		res, err := m.Apply(ctx, r)
		c.outputs, c.resultPrivate = reflect.ValueOf(&res.Outputs).Elem(), res.Private
		return err
	}
	return t
}

// typed is a T that a codec has made; no value is the zero T.
func typed[T any](v reflect.Value) T {
	var zero T
	if !v.IsValid() {
		return zero
	}
	p, _ := reflect.TypeAssert[*T](v.Addr())
	return *p
}

// outputsOf returns a pointer to a copy of the T that a codec has made.
func outputsOf[T any](v reflect.Value) *T {
	x := typed[T](v)
	return &x
}

func typedRecord[C, O any](r *record) *Record[C, O] {
	if r == nil {
		return nil
	}
	return &Record[C, O]{Config: typed[C](r.config), Outputs: typed[O](r.outputs), Private: r.private}
}
