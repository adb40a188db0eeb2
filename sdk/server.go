package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// atOnce is how many instances of one Plan stream are worked on at once.
const atOnce = 64

// server serves the protocol for a plugin.
type server struct {
	pluginv1.UnimplementedPluginServer
	plugin *Plugin
	types  map[[2]string]*typeInfo

	mu      sync.Mutex
	host    Host
	running map[string]context.CancelFunc // operations
}

// Server returns the plugin as a gRPC service.
func (p *Plugin) Server() pluginv1.PluginServer {
	s := &server{plugin: p, types: map[[2]string]*typeInfo{}, running: map[string]context.CancelFunc{}}
	for _, t := range p.types {
		s.types[[2]string{t.Kind(), t.Name()}] = t.compiled()
	}
	return s
}

func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return s.plugin.Describe(), nil
}

func (s *server) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = Host{Version: r.GetHostVersion(), CacheDir: r.GetCacheDir(), StackDir: r.GetStackDir()}
	return &pluginv1.ConfigureResponse{}, nil
}

func (s *server) typeOf(kind, name string) (*typeInfo, error) {
	if t := s.types[[2]string{kind, name}]; t != nil {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "this plugin has no %s %q", kind, name)
}

func (s *server) calls() *calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &calls{host: s.host}
}

func with(ctx context.Context, c *calls) context.Context {
	return context.WithValue(ctx, callsKey{}, c)
}

func (s *server) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (resp *pluginv1.ValidateResponse, _ error) {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return nil, err
	}
	config, d, err := t.config.read(r.GetConfig())
	if err == nil {
		err = d.err()
	}
	// A rule may look at any field, so it is asked only when all are known.
	if err == nil && t.validate != nil && len(d.unknown) == 0 {
		err = guard(func() error { return t.validate(with(ctx, s.calls()), config) })
	}
	return &pluginv1.ValidateResponse{Diagnostics: diagnostics(err)}, nil
}

func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	return d.errs
}

// read decodes a value from the wire. No value is the zero struct.
func (o *object) read(v *pluginv1.Value) (reflect.Value, *decoder, error) {
	into, d := o.fresh(), &decoder{}
	if v == nil {
		return into, d, nil
	}
	var c cty.Value
	var err error
	switch e := v.GetEncoding().(type) {
	case *pluginv1.Value_Msgpack:
		c, err = msgpack.Unmarshal(e.Msgpack, o.wireType())
	case *pluginv1.Value_Json:
		c, err = ctyjson.Unmarshal(e.Json, o.wireType())
	default:
		return into, d, nil
	}
	if err != nil {
		return into, d, fmt.Errorf("davit sent a value that does not fit the schema: %w", err)
	}
	o.decode(d, c, into, nil)
	return into, d, nil
}

func (o *object) write(v reflect.Value) (*pluginv1.Value, error) {
	if !v.IsValid() {
		v = o.fresh()
	}
	c, err := o.encode(v)
	if err != nil {
		return nil, err
	}
	return wire(c, o.wireType())
}

func wire(v cty.Value, t cty.Type) (*pluginv1.Value, error) {
	b, err := msgpack.Marshal(v, t)
	if err != nil {
		return nil, err
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}, nil
}

func (t *typeInfo) readRecord(r *pluginv1.Record) (*record, error) {
	if r == nil {
		return nil, nil
	}
	config, _, err := t.config.read(r.GetConfig())
	if err != nil {
		return nil, err
	}
	outputs, _, err := t.outputs.read(r.GetOutputs())
	return &record{config: config, outputs: outputs, private: r.GetPrivate()}, err
}

// guard turns a panic of a plugin's method into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			err = &Error{Summary: fmt.Sprintf("the plugin failed inside: %v", p), Code: "plugin.panic", Hint: "This is a defect of the plugin; please report it to its authors."}
		}
	}()
	return f()
}

func (s *server) Plan(stream grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]) error {
	var sending sync.Mutex
	send := func(r *pluginv1.PlanResponse) error {
		sending.Lock()
		defer sending.Unlock()
		return stream.Send(r)
	}
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			res := s.planOne(stream.Context(), r, func(stream, line string) {
				_ = send(&pluginv1.PlanResponse{Id: r.GetId(), Body: &pluginv1.PlanResponse_Log{Log: &pluginv1.Log{Stream: stream, Line: line}}})
			})
			// An error means that nobody listens any more; Recv says so too.
			_ = send(&pluginv1.PlanResponse{Id: r.GetId(), Body: &pluginv1.PlanResponse_Result{Result: res}})
		})
	}
}

func (s *server) planOne(ctx context.Context, r *pluginv1.PlanRequest, log func(stream, line string)) *pluginv1.PlanResult {
	res, err := s.tryPlan(ctx, r, log)
	if err != nil {
		res = &pluginv1.PlanResult{}
	}
	res.Diagnostics = append(res.Diagnostics, diagnostics(err)...)
	return res
}

func (s *server) tryPlan(ctx context.Context, r *pluginv1.PlanRequest, log func(stream, line string)) (*pluginv1.PlanResult, error) {
	t, err := s.typeOf(r.GetKind(), r.GetType())
	if err != nil {
		return nil, err
	}
	config, d, err := t.config.read(r.GetConfig())
	if err == nil {
		err = d.err()
	}
	if err != nil {
		return nil, err
	}
	c := &planCall{address: r.GetAddress(), config: config, destroy: r.GetDestroy(), private: r.GetPlannedPrivate()}
	if c.prior, err = t.readRecord(r.GetPrior()); err != nil {
		return nil, err
	}
	if len(d.unknown) > 0 {
		return t.deferred(c, d)
	}
	if r.GetConfig() == nil && c.prior != nil {
		c.config = c.prior.config
	}
	c.candidates = Candidates{Tags: r.GetCandidates().GetTags(), Current: r.GetCandidates().GetCurrent()}
	told := s.calls()
	told.log = log
	if c.prior != nil {
		told.prior = t.prior(c.prior.outputs)
	}
	if r.GetPinned() != nil {
		pinned, _, err := t.outputs.read(r.GetPinned())
		if err != nil {
			return nil, err
		}
		told.pinned = t.pinned(pinned)
	}
	var items sync.Mutex
	var added []Item
	told.addItem = func(i Item) {
		items.Lock()
		defer items.Unlock()
		added = append(added, i)
	}
	if err := guard(func() error { return t.plan(with(ctx, told), c) }); err != nil {
		return nil, err
	}
	c.result.Items = append(c.result.Items, added...)
	return t.planResult(c)
}

// deferred answers for a plugin whose plain fields are not all known yet.
func (t *typeInfo) deferred(c *planCall, d *decoder) (*pluginv1.PlanResult, error) {
	names := make([]string, len(d.unknown))
	for i, p := range d.unknown {
		names[i] = pathText(p)
	}
	c.result = PlanResult[any]{Action: ActionNone, Reasons: []string{"planned at apply: " + strings.Join(names, ", ") + " is not known yet"}}
	if t.apply != nil {
		c.result.Action = ActionCreate
		if c.prior != nil {
			c.result.Action = ActionUpdate
		}
	}
	res, err := t.planResult(c)
	if err != nil {
		return nil, err
	}
	res.Outputs, err = wire(t.outputs.unknown(), t.outputs.wireType())
	return res, err
}

func pathText(p cty.Path) string {
	var b strings.Builder
	for _, s := range stepsOf(p) {
		switch s := s.(type) {
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s)
		default:
			fmt.Fprintf(&b, "[%v]", s)
		}
	}
	return b.String()
}

var protoActions = map[Action]pluginv1.Action{
	ActionNone: pluginv1.Action_ACTION_NONE, ActionCreate: pluginv1.Action_ACTION_CREATE, ActionUpdate: pluginv1.Action_ACTION_UPDATE,
	ActionReplace: pluginv1.Action_ACTION_REPLACE, ActionDelete: pluginv1.Action_ACTION_DELETE, ActionBuild: pluginv1.Action_ACTION_BUILD,
	ActionAdopt: pluginv1.Action_ACTION_ADOPT,
}

func actionOf(p pluginv1.Action) Action {
	for a, x := range protoActions {
		if x == p {
			return a
		}
	}
	return ""
}

func (t *typeInfo) planResult(c *planCall) (*pluginv1.PlanResult, error) {
	res := &pluginv1.PlanResult{Action: protoActions[c.result.Action], Reasons: valid(c.result.Reasons), Private: c.result.Private}
	for _, i := range c.result.Items {
		item, err := protoItem(i)
		if err != nil {
			return nil, fmt.Errorf("item %q: %w", i.Key, err)
		}
		res.Items = append(res.Items, item)
	}
	for _, i := range c.result.Images {
		after, known := i.After.Get()
		if !known {
			after = i.After.Prefix()
		}
		res.Images = append(res.Images, &pluginv1.Image{Name: i.Name, Before: i.Before, After: after, Unknown: i.After.IsUnknown()})
	}
	if c.answer != nil {
		res.Decision = &pluginv1.Decision{Ranked: c.answer.Ranked, Reason: c.answer.Reason}
		for _, x := range c.answer.Rejected {
			res.Decision.Rejected = append(res.Decision.Rejected, &pluginv1.Rejection{Tag: x.Tag, Reason: x.Reason})
		}
		return res, nil
	}
	var err error
	res.Outputs, err = t.outputs.write(c.outputs)
	return res, err
}

// valid makes texts that the wire takes.
func valid(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}

func protoItem(i Item) (*pluginv1.Item, error) {
	out := &pluginv1.Item{Key: i.Key, Kind: i.Kind, Name: i.Name, Action: protoActions[i.Action], Note: strings.ToValidUTF8(i.Note, "\uFFFD")}
	if i.Action == "" {
		out.Action = pluginv1.Action_ACTION_NONE
	}
	for _, f := range i.Fields {
		field := &pluginv1.Field{Path: f.Path, Unknown: f.Unknown, Prefix: f.Prefix, Sensitive: f.Sensitive}
		var err error
		if field.Before, err = fieldJSON(f.Before, f.Sensitive); err != nil {
			return nil, err
		}
		if field.After, err = fieldJSON(f.After, f.Sensitive); err != nil {
			return nil, err
		}
		out.Fields = append(out.Fields, field)
	}
	return out, nil
}

// fieldJSON writes one side of a field; a sensitive one leaves the plugin as a mask.
func fieldJSON(v any, sensitive bool) (string, error) {
	if v == nil {
		return "", nil
	}
	if sensitive {
		return `"(sensitive)"`, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func (s *server) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	t, err := s.typeOf("image", r.GetType())
	if err != nil {
		return nil, err
	}
	config, d, err := t.config.read(r.GetConfig())
	if err == nil {
		err = d.err()
	}
	var res Resolved
	if err == nil {
		err = guard(func() (err error) {
			res, err = t.resolve(with(ctx, s.calls()), config, r.GetTag())
			return err
		})
	}
	out := &pluginv1.ResolveResponse{Diagnostics: diagnostics(err), Digest: res.Digest, Platforms: res.Platforms}
	if !res.Created.IsZero() {
		out.CreatedUnix = res.Created.Unix()
	}
	return out, nil
}
