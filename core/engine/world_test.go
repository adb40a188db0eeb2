package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/protocol"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
)

// world is what the test plugin looks at and changes: tags of a registry, and things that run.
type world struct {
	mu       sync.Mutex
	revision string
	tags     map[string]string // tag -> digest
	holds    map[string]string // tag -> what it holds, if that is not an image
	looks    []string          // the tags that were looked at, and how
	things   map[string]string // name -> content
	labels   map[string]string // name -> label
	applied  []string          // in order
	tries    []try             // of things, in order
	fail     map[string]string // thing -> "error", "panic", "lost", "hang"
	garbage  func(*pluginv1.PlanResult)
	claims   bool              // applications claim their things
	heard    []string          // by notifications: "name room event: summary; address outcome, ..."
	deaf     map[string]string // room -> what its notification answers
}

// try is what one Apply was told.
type try struct{ address, operation, saved string }

type (
	srcConfig struct {
		Text string `davit:"text,optional"`
	}
	srcOutputs struct {
		sdk.SourceOutputs
		Text string `davit:"text"`
	}
	imgConfig struct {
		Repository string `davit:"repository"`
	}
	imgOutputs  struct{ sdk.ImageOutputs }
	polConfig   struct{}
	buildConfig struct {
		Source     sdk.SourceRef `davit:"source"`
		Repository string        `davit:"repository"`
		Tag        string        `davit:"tag"`
	}
	buildOutputs struct{ sdk.BuildOutputs }
	appConfig    struct {
		Name    string            `davit:"name"`
		Content sdk.Value[string] `davit:"content,optional"`
		Plain   string            `davit:"plain,optional"`
		Label   string            `davit:"label,optional"`
		Secret  string            `davit:"secret,optional,sensitive"`
	}
	chatConfig struct {
		Room  string `davit:"room"`
		Text  string `davit:"text,optional"`
		Token string `davit:"token,optional,sensitive"`
	}
	appOutputs struct {
		sdk.ApplicationOutputs
		Sum   sdk.Value[string] `davit:"sum"`
		Token sdk.Value[string] `davit:"token,sensitive"` // of one called up; null of others
	}
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(h[:])
}

type source struct{ *world }

func (s source) Observe(_ context.Context, r sdk.ObserveRequest[srcConfig, srcOutputs]) (srcOutputs, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why := s.fail["source "+r.Config.Text]; why != "" {
		return srcOutputs{}, errors.New(why)
	}
	o := srcOutputs{Text: r.Config.Text}
	o.Revision, o.Time = s.revision, "2026-01-01T00:00:00Z"
	o.Tree = sdk.Tree{Digest: sum(s.revision), Path: "/nowhere"}
	return o, nil
}

type image struct{ *world }

func (i image) Observe(_ context.Context, r sdk.ObserveRequest[imgConfig, imgOutputs]) (imgOutputs, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var o imgOutputs
	o.Repository = r.Config.Repository
	for t := range i.tags {
		o.Tags = append(o.Tags, t)
	}
	return o, nil
}

func (i image) Resolve(_ context.Context, r sdk.ResolveRequest[imgConfig]) (sdk.Resolved, error) {
	tag := r.Tag
	i.mu.Lock()
	defer i.mu.Unlock()
	i.looks = append(i.looks, fmt.Sprintf("%s %d", tag, r.Look))
	if i.tags[tag] == "" {
		return sdk.Resolved{}, errors.New("no tag " + tag)
	}
	return sdk.Resolved{Digest: i.tags[tag], Artifact: i.holds[tag], Created: time.Unix(1, 0)}, nil
}

// policy ranks tags by length, then by themselves; those that begin with x are refused. It wants to look at those that begin with l.
type policy struct{}

func (policy) Decide(_ context.Context, r sdk.DecideRequest[polConfig]) (sdk.Decision, error) {
	c := r.Candidates
	var d sdk.Decision
	for _, t := range c.Tags {
		if strings.HasPrefix(t, "x") {
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: t, Reason: "begins with x"})
			continue
		}
		if fact, seen := c.Facts[t]; strings.HasPrefix(t, "l") && !seen {
			d.LookAt = append(d.LookAt, t)
		} else if seen && fact.Digest != "" && fact.Created.IsZero() {
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: t, Reason: "has no time"})
			continue
		}
		at := 0
		for at < len(d.Ranked) && (len(d.Ranked[at]) > len(t) || (len(d.Ranked[at]) == len(t) && d.Ranked[at] > t)) {
			at++
		}
		d.Ranked = append(d.Ranked[:at], append([]string{t}, d.Ranked[at:]...)...)
	}
	d.Reason = "the greatest"
	return d, nil
}

type build struct{ *world }

func (b build) Plan(_ context.Context, r sdk.PlanRequest[buildConfig, buildOutputs]) (sdk.PlanResult[buildOutputs], error) {
	if r.Destroy {
		return sdk.PlanResult[buildOutputs]{Action: sdk.ActionDelete}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail["plan build"] != "" {
		return sdk.PlanResult[buildOutputs]{}, errors.New(b.fail["plan build"])
	}
	key := r.Config.Source.Tree.Digest
	if r.Prior != nil && r.Prior.Outputs.Key == key && r.Prior.Outputs.Digest.OrZero() != "" {
		return sdk.PlanResult[buildOutputs]{Action: sdk.ActionNone, Outputs: r.Prior.Outputs}, nil
	}
	o := buildOutputs{sdk.BuildOutputs{Repository: r.Config.Repository, Tag: r.Config.Tag, Key: key, Revision: r.Config.Source.Revision,
		Digest: sdk.UnknownPrefix("sha256:"), Ref: sdk.UnknownPrefix(r.Config.Repository + ":" + r.Config.Tag + "@sha256:")}}
	return sdk.PlanResult[buildOutputs]{Action: sdk.ActionBuild, Reasons: []string{"new content"}, Outputs: o}, nil
}

func (b build) Apply(ctx context.Context, r sdk.ApplyRequest[buildConfig, buildOutputs]) (sdk.Result[buildOutputs], error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := r.Planned
	switch b.fail["build "+o.Repository] {
	case "error":
		return sdk.Result[buildOutputs]{}, errors.New("the compiler gives up")
	case "part":
		if err := sdk.Save(ctx, sdk.Result[buildOutputs]{Outputs: o}); err != nil {
			return sdk.Result[buildOutputs]{}, err
		}
		return sdk.Result[buildOutputs]{}, errors.New("the compiler gives up in the middle")
	}
	d := sum(o.Key + "built")
	o.Digest, o.Ref = sdk.Known(d), sdk.Known(o.Repository+":"+o.Tag+"@"+d)
	b.tags[o.Tag] = d
	b.applied = append(b.applied, r.Address)
	return sdk.Result[buildOutputs]{Outputs: o}, nil
}

func (build) Destroy(context.Context, sdk.DestroyRequest[buildConfig, buildOutputs]) error {
	return nil
}

type app struct{ *world }

// chat is a notification that writes down what it is told.
type chat struct{ *world }

func (c chat) Notify(_ context.Context, config chatConfig, e sdk.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why := c.deaf[config.Room]; why != "" {
		return &sdk.Error{Summary: why, Err: errors.New("by " + config.Token)}
	}
	line := fmt.Sprintf("%s %s: %s", config.Room, e.Name, e.Summary)
	for _, ch := range e.Changes {
		line += fmt.Sprintf("; %s %s %s", ch.Address, ch.Action, ch.Outcome)
	}
	if config.Text != "" {
		line += " | " + config.Text
	}
	c.heard = append(c.heard, line)
	return nil
}

// told returns what was heard since the last time, sorted.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.heard
	w.heard = nil
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func (a app) Plan(_ context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Destroy {
		res := sdk.PlanResult[appOutputs]{Action: sdk.ActionDelete}
		if a.claims {
			name := r.Prior.Config.Name
			res.Items = []sdk.Item{{Key: "thing", Kind: "thing", Name: name, Action: sdk.ActionDelete, Claim: thingClaim(name)}}
		}
		return res, nil
	}
	res := sdk.PlanResult[appOutputs]{Action: sdk.ActionNone}
	res.Outputs.Health, res.Outputs.Items, res.Outputs.Sum = sdk.Known("Current"), []string{r.Config.Name}, sdk.Unknown[string]()
	if a.claims {
		res.Claims = []sdk.Claim{thingClaim(r.Config.Name)}
	}
	if r.Config.Name == "up" {
		res.Outputs.Token = sdk.Known("hunter2-up")
	}
	content, known := r.Config.Content.Get()
	content += r.Config.Plain
	if known || r.Config.Content.IsNull() {
		known = true
		res.Outputs.Sum = sdk.Known(sum(content))
	}
	live, there := a.things[r.Config.Name]
	same, relabelled := there && known && live == content, r.Config.Label != a.labels[r.Config.Name]
	if same && !relabelled {
		return res, nil
	}
	f := sdk.Field{Path: "content", Unknown: !known, Prefix: r.Config.Content.Prefix()}
	if known {
		f.After = content
	}
	res.Action = sdk.ActionCreate
	if there {
		res.Action, f.Before = sdk.ActionUpdate, live
	}
	var fields []sdk.Field
	if !same {
		fields = append(fields, f)
	}
	if relabelled {
		fields = append(fields, sdk.Field{Path: "label", After: r.Config.Label})
	}
	res.Items = []sdk.Item{{Key: "thing", Kind: "thing", Name: r.Config.Name, Action: res.Action, Fields: fields, Claim: thingClaim(r.Config.Name)}}
	if r.Config.Secret != "" {
		res.Reasons = []string{"the secret is " + r.Config.Secret}
	}
	return res, nil
}

func thingClaim(name string) sdk.Claim { return sdk.Claim("thing:" + name) }

// hangs tells whether making a thing does not end until it is cancelled.
func (w *world) hangs(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fail[name] == "hang"
}

func (a app) Apply(ctx context.Context, r sdk.ApplyRequest[appConfig, appOutputs]) (sdk.Result[appOutputs], error) {
	sdk.Log(ctx, "thing", "making it with "+r.Config.Secret)
	if a.hangs(r.Config.Name) {
		<-ctx.Done()
		return sdk.Result[appOutputs]{}, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	res := sdk.Result[appOutputs]{Outputs: r.Planned, Private: []byte("private")}
	content := r.Config.Content.OrZero() + r.Config.Plain
	res.Outputs.Sum = sdk.Known(sum(content))
	t := try{address: r.Address, operation: r.Operation}
	if r.Checkpoint != nil {
		t.saved = r.Checkpoint.Outputs.Sum.OrZero() + " " + string(r.Checkpoint.Private)
	}
	a.tries = append(a.tries, t)
	switch a.fail[r.Config.Name] {
	case "error":
		return res, &sdk.Error{Summary: "it does not work", Hint: "Try harder."}
	case "part":
		if err := sdk.Save(ctx, res); err != nil {
			return res, err
		}
		return res, errors.New("it broke in the middle")
	}
	a.things[r.Config.Name], a.labels[r.Config.Name] = content, r.Config.Label
	a.applied = append(a.applied, r.Address)
	return res, nil
}

func (a app) Destroy(_ context.Context, r sdk.DestroyRequest[appConfig, appOutputs]) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail["delete "+r.Config.Name] != "" {
		return errors.New("it cannot be deleted")
	}
	delete(a.things, r.Config.Name)
	delete(a.labels, r.Config.Name)
	a.applied = append(a.applied, "delete "+r.Address)
	return nil
}

// Import takes over a thing that is there.
func (a app) Import(_ context.Context, r sdk.ImportRequest[appConfig]) (sdk.Result[appOutputs], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var res sdk.Result[appOutputs]
	res.Outputs.Health, res.Outputs.Items, res.Outputs.Sum = sdk.Known("Current"), []string{r.ID}, sdk.Known(sum(a.things[r.ID]))
	res.Outputs.Token = sdk.Known("hunter2-" + r.ID)
	return res, nil
}

// fixture is a stack over a world, with its state.
type fixture struct {
	t      testing.TB
	world  *world
	plugin *sdk.Plugin
	client *client
	store  *memory.Store
	given  []eval.Given

	fingerprint func(string, []byte) string
	parallel    int

	events []event.Event
	mu     sync.Mutex
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	w := &world{revision: "r1", tags: map[string]string{}, things: map[string]string{}, labels: map[string]string{}, fail: map[string]string{}, deaf: map[string]string{}}
	p := sdk.New("test", "1.0.0", sdk.Source("s", source{w}), sdk.Image("i", image{w}), sdk.Policy("p", policy{}), sdk.Build("b", build{w}), sdk.Application("a", app{w}), sdk.Application("blind", app{w}, sdk.CannotRecover()), sdk.Notification("n", chat{w}))
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer()
	p.Register(s)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &fixture{t: t, world: w, plugin: p, client: &client{PluginClient: pluginv1.NewPluginClient(conn), world: w}, store: memory.New()}
}

// client is the plugin as the engine wants it: one stream for each call, which is enough for tests.
type client struct {
	pluginv1.PluginClient
	world *world
}

func (c *client) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	return c.PluginClient.Validate(ctx, r)
}

func (c *client) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	return c.PluginClient.Resolve(ctx, r)
}

func (c *client) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return c.PluginClient.Notify(ctx, r)
}

func (c *client) Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error) {
	return c.PluginClient.Import(ctx, r)
}

func (c *client) Plan(ctx context.Context, r *pluginv1.PlanRequest, _ func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	for _, v := range []*pluginv1.Value{r.GetConfig(), r.GetPrior().GetConfig(), r.GetPrior().GetOutputs(), r.GetPinned()} {
		if v != nil && v.GetMsgpack() == nil {
			return nil, fmt.Errorf("davit sends MessagePack, and not %v", v)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.PluginClient.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Send(r); err != nil {
		return nil, err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return nil, err
		}
		if res := m.GetResult(); res != nil {
			if c.world.garbage != nil {
				c.world.garbage(res)
			}
			return res, nil
		}
	}
}

func (c *client) Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error) {
	s, err := c.PluginClient.Apply(ctx, r)
	if err != nil {
		return nil, err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return nil, err
		}
		if m.GetResult() != nil {
			c.world.mu.Lock()
			lost := c.world.fail[r.GetAddress()] == "lost"
			c.world.mu.Unlock()
			if lost {
				return nil, errors.New("the plugin was killed")
			}
			return m.GetResult(), nil
		}
		if err := on(m); err != nil {
			return nil, err
		}
	}
}

// Client implements engine.Plugins.
func (f *fixture) Client(context.Context, string) (engine.Client, error) { return f.client, nil }

// modules finds modules by their paths.
type modules struct{}

func (modules) Find(from config.Location, source, _ string) (config.Location, error) {
	return config.Location{Dir: filepath.Join(from.Dir, source), Name: path.Join(from.Name, source)}, nil
}

// load reads a stack: one file's text, or an archive of several with their modules.
func (f *fixture) load(text string) (*config.Stack, hcl.Diagnostics) {
	f.t.Helper()
	archive := txtar.Parse([]byte(text))
	if len(archive.Files) == 0 {
		archive.Files = []txtar.File{{Name: "davit.hcl", Data: []byte(text)}}
	}
	dir := f.t.TempDir()
	for _, file := range archive.Files {
		name := filepath.Join(dir, file.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, file.Data, 0o600)); err != nil {
			f.t.Fatal(err)
		}
	}
	return config.LoadTree(dir, modules{})
}

func (f *fixture) engine(text string) (*engine.Engine, hcl.Diagnostics) {
	f.t.Helper()
	stack, diags := f.load(text)
	if diags.HasErrors() {
		return nil, diags
	}
	values, diags := eval.Variables(stack.Module, f.given, nil)
	if diags.HasErrors() {
		return nil, diags
	}
	types := types.NewCatalogue()
	if err := types.Add("test", protocol.Describe(f.plugin)); err != nil {
		f.t.Fatal(err)
	}
	return &engine.Engine{Stack: stack, Variables: values, Types: types, Plugins: f, Version: "1.0.0", History: f.store.History, Fingerprint: f.fingerprint, Parallel: f.parallel, Emit: func(e event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}}, nil
}

// tryPlan plans, and returns what it found.
func (f *fixture) tryPlan(text string, mode plan.Mode) (*plan.Plan, hcl.Diagnostics) {
	f.t.Helper()
	return f.planWith(text, engine.Options{Mode: mode})
}

func (f *fixture) planWith(text string, opts engine.Options) (*plan.Plan, hcl.Diagnostics) {
	f.t.Helper()
	e, diags := f.engine(text)
	if diags.HasErrors() {
		return nil, diags
	}
	s, err := f.store.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return e.Plan(f.t.Context(), s, opts)
}

func (f *fixture) plan(text string) *plan.Plan {
	f.t.Helper()
	p, diags := f.tryPlan(text, plan.ModeApply)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	return p
}

func (f *fixture) tryApply(text string, p *plan.Plan, reviewed bool) (*event.Result, hcl.Diagnostics) {
	f.t.Helper()
	e, diags := f.engine(text)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	lease, err := f.store.Lock(f.t.Context(), state.Holder{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer lease.Release(f.t.Context()) //nolint:errcheck // the memory store's cannot fail
	return e.Apply(f.t.Context(), p, engine.ApplyOptions{Store: f.store, Lease: lease, Reviewed: reviewed, Who: "tester"})
}

func (f *fixture) apply(text string) {
	f.t.Helper()
	if _, diags := f.tryApply(text, f.plan(text), false); diags.HasErrors() {
		f.t.Fatal(diags)
	}
}

func (f *fixture) snapshot() *state.Snapshot {
	f.t.Helper()
	s, err := f.store.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// Actions writes what a plan does as "address: action" lines.
func actions(p *plan.Plan) string {
	var lines []string
	for _, c := range p.Changes {
		lines = append(lines, fmt.Sprintf("%s: %s", c.Address, c.Action))
	}
	return strings.Join(lines, "\n")
}

// wantDiags checks that there is a diagnostic with each text, and none that no text names.
func wantDiags(t testing.TB, diags hcl.Diagnostics, texts ...string) {
	t.Helper()
	for _, want := range texts {
		found := false
		for _, d := range diags {
			found = found || strings.Contains(d.Summary+": "+d.Detail, want)
		}
		if !found {
			t.Errorf("no diagnostic says %q; there are:\n%v", want, diags.Errs())
		}
	}
	if len(diags) != len(texts) {
		t.Errorf("%d diagnostics for %d texts:\n%v", len(diags), len(texts), diags.Errs())
	}
}
