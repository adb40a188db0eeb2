package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/wire"
)

// app is an application whose methods are what a test says.
type app struct {
	plan    func(ctx context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error)
	apply   func(ctx context.Context, r sdk.ApplyRequest[appConfig, appOutputs]) (sdk.Result[appOutputs], error)
	destroy func(ctx context.Context, r sdk.DestroyRequest[appConfig, appOutputs]) error
	check   func(c appConfig) error
}

type appConfig struct {
	Name  string            `davit:"name"`
	Image sdk.Value[string] `davit:"image,optional"`
	Tree  sdk.Tree          `davit:"tree,optional"`
	Token string            `davit:"token,optional,sensitive"`
}

type appOutputs struct {
	sdk.ApplicationOutputs
	Name  string            `davit:"name"`
	Image sdk.Value[string] `davit:"image"`
}

func (a app) Plan(ctx context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
	if a.plan == nil {
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionNone, Outputs: appOutputs{Name: r.Config.Name, Image: r.Config.Image}}, nil
	}
	return a.plan(ctx, r)
}

func (a app) Apply(ctx context.Context, r sdk.ApplyRequest[appConfig, appOutputs]) (sdk.Result[appOutputs], error) {
	return a.apply(ctx, r)
}

func (a app) Destroy(ctx context.Context, r sdk.DestroyRequest[appConfig, appOutputs]) error {
	return a.destroy(ctx, r)
}

func (a app) Validate(_ context.Context, c appConfig) error {
	if a.check == nil {
		return nil
	}
	return a.check(c)
}

// served serves an application as "application" "app".
func served(t testing.TB, a app) pluginv1.PluginClient {
	t.Helper()
	return serve(t, sdk.New("test", "1", sdk.Application("app", a)))
}

// ask plans one instance of the application, and returns the answer and what was logged before it.
func ask(t testing.TB, client pluginv1.PluginClient, r *pluginv1.PlanRequest) (*pluginv1.PlanResult, []string) {
	t.Helper()
	if r.Kind == "" {
		r.Kind, r.Type, r.Address = "application", "app", "application.app.web"
	}
	stream, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Id = 7
	if err := stream.Send(r); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var result *pluginv1.PlanResult
	var logs []string
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.GetId() != 7 || result != nil {
			t.Fatalf("an answer that was not asked for: %v", m)
		}
		if l := m.GetLog(); l != nil {
			logs = append(logs, l.GetStream()+": "+l.GetLine())
		}
		result = m.GetResult()
	}
	if result == nil {
		t.Fatal("there was no result")
	}
	return result, logs
}

// summaries are the findings, a warning marked as such.
func summaries(list []*pluginv1.Diagnostic) string {
	var s []string
	for _, d := range list {
		text := d.GetSummary()
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			text = "warning: " + text
		}
		s = append(s, text)
	}
	return strings.Join(s, "; ")
}

func TestPlanThousand(t *testing.T) {
	client := served(t, app{})
	stream, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	configs := make([]*pluginv1.Value, n)
	for i := range n {
		configs[i] = encode(t, client, "application", "app", fmt.Sprintf(`{"name": "n%d", "image": "<unknown>"}`, i))
	}
	go func() {
		for i := range n {
			_ = stream.Send(&pluginv1.PlanRequest{Id: uint64(i), Kind: "application", Type: "app", Config: configs[i]})
		}
		_ = stream.CloseSend()
	}()
	seen := map[uint64]bool{}
	form := typeOf(t, described(t, client, "application", "app").GetOutputs())
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.GetId()] {
			t.Fatalf("%d was answered twice", m.GetId())
		}
		seen[m.GetId()] = true
		v, err := wire.Decode(m.GetResult().GetOutputs(), form)
		if err != nil {
			t.Fatal(err)
		}
		if want := cty.StringVal(fmt.Sprintf("n%d", m.GetId())); !v.GetAttr("name").RawEquals(want) || v.GetAttr("image").IsKnown() {
			t.Fatalf("%d was answered with %#v", m.GetId(), v)
		}
	}
	if len(seen) != n {
		t.Errorf("%d answers to %d requests", len(seen), n)
	}
}

// A request that takes long holds up no other, and as many are worked on at once as promised.
func TestPlanConcurrently(t *testing.T) {
	arrived, release := make(chan string), make(chan struct{})
	client := served(t, app{plan: func(ctx context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		select {
		case arrived <- r.Address:
		case <-ctx.Done():
		}
		select {
		case <-release:
		case <-ctx.Done():
		}
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionNone}, nil
	}})
	stream, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		r := &pluginv1.PlanRequest{Id: uint64(i), Address: fmt.Sprint(i), Kind: "application", Type: "app", Config: encode(t, client, "application", "app", `{"name": "x"}`)}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	for range 64 {
		<-arrived
	}
	select {
	case address := <-arrived:
		t.Errorf("%s was begun besides 64 others", address)
	default:
	}
	close(release)
	go func() {
		for range 36 {
			<-arrived
		}
	}()
	for range 100 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlanAnswer(t *testing.T) {
	client := served(t, app{plan: func(ctx context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		sdk.Log(ctx, "dry run", "Deployment/web caf\xe9")
		sdk.Log(ctx, "long", strings.Repeat("x", 100_000))
		sdk.AddItem(ctx, sdk.Item{Key: "c1", Kind: "commit", Note: "fix"})
		return sdk.PlanResult[appOutputs]{
			Action: sdk.ActionUpdate, Reasons: []string{"drift \xff"}, Private: []byte{1, 2},
			Items: []sdk.Item{{Key: "d", Kind: "Deployment", Name: "shop/web", Action: sdk.ActionUpdate, Fields: []sdk.Field{
				{Path: "spec.replicas", Before: 1, After: 2},
				{Path: "data.password", Before: "hunter2", After: "hunter3", Sensitive: true},
				{Path: "data.new", After: "hunter4", Prefix: "hunt", Sensitive: true},
				{Path: "image", Before: "a<b", Unknown: true, After: "not sent", Prefix: "registry/api:"},
				{Path: "gone", Before: map[string]any{"a": []int{1}}},
			}}},
			Images:  []sdk.ImageUse{{Name: "web", Before: "a:1", After: sdk.UnknownPrefix("a:2@")}, {Name: "side", After: sdk.Known("b:1")}, {Name: "old", Before: "c:1"}},
			Outputs: appOutputs{Name: "web", Image: sdk.UnknownPrefix("a:2@sha256:")},
		}, nil
	}})
	res, logs := ask(t, client, &pluginv1.PlanRequest{Config: encode(t, client, "application", "app", `{"name": "web", "token": "hunter2"}`)})
	if len(logs) != 2 || logs[0] != "dry run: Deployment/web caf\uFFFD" || len(logs[1]) > 70_000 {
		t.Errorf("logs: %.200q", logs)
	}
	var fields []string
	for _, f := range res.GetItems()[0].GetFields() {
		fields = append(fields, fmt.Sprintf("%s: %s -> %s %v %s %v", f.GetPath(), f.GetBefore(), f.GetAfter(), f.GetUnknown(), f.GetPrefix(), f.GetSensitive()))
	}
	want := []string{
		`spec.replicas: 1 -> 2 false  false`,
		`data.password: "(sensitive)" -> "(sensitive)" false  true`,
		`data.new:  -> "(sensitive)" false  true`,
		`image: "a<b" ->  true registry/api: false`,
		`gone: {"a":[1]} ->  false  false`,
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields (- want, + got):\n%s", diff)
	}
	if strings.Contains(res.String(), "hunt") {
		t.Error("a secret was sent")
	}
	var images []string
	for _, i := range res.GetImages() {
		images = append(images, fmt.Sprintf("%s: %s -> %s %v", i.GetName(), i.GetBefore(), i.GetAfter(), i.GetUnknown()))
	}
	if diff := cmp.Diff([]string{"web: a:1 -> a:2@ true", "side:  -> b:1 false", "old: c:1 ->  false"}, images); diff != "" {
		t.Errorf("images (- want, + got):\n%s", diff)
	}
	if i := res.GetItems()[1]; i.GetNote() != "fix" || i.GetAction() != pluginv1.Action_ACTION_NONE {
		t.Errorf("the added item is %v", i)
	}
	if res.GetAction() != pluginv1.Action_ACTION_UPDATE || res.GetReasons()[0] != "drift \uFFFD" || string(res.GetPrivate()) != "\x01\x02" {
		t.Errorf("the answer is %v", res)
	}
	image := outputs(t, client, "application", "app", res.GetOutputs())["image"]
	if image.IsKnown() || image.Range().StringPrefix() != "a:2@sha256:" || !image.Range().DefinitelyNotNull() {
		t.Errorf("the planned image is %#v", image)
	}
}

// While a plain attribute is not known, the sdk answers and the plugin is not asked.
func TestPlanDeferred(t *testing.T) {
	type named struct {
		Name string `davit:"name"`
	}
	client := serve(t, sdk.New("test", "1", sdk.Source("app", source[named, sdk.SourceOutputs]{}), sdk.Policy("app", policy[named]{}),
		sdk.Application("app", app{plan: func(context.Context, sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
			panic("the plugin was asked")
		}, check: func(appConfig) error { panic("the plugin was asked") }})))
	prior := &pluginv1.Record{}
	cases := map[string]struct {
		kind, config string
		prior        *pluginv1.Record
		action       pluginv1.Action
		reason       string
	}{
		"first":      {"application", `{"name": "<unknown>"}`, nil, pluginv1.Action_ACTION_CREATE, "planned at apply: name is not known yet"},
		"later":      {"application", `{"name": "<unknown>"}`, prior, pluginv1.Action_ACTION_UPDATE, "planned at apply: name is not known yet"},
		"in part":    {"application", `{"name": "x", "tree": {"digest": "<unknown>", "path": "<unknown>"}}`, nil, pluginv1.Action_ACTION_CREATE, "planned at apply: tree.digest, tree.path are not known yet"},
		"a source":   {"source", `{"name": "<unknown>"}`, prior, pluginv1.Action_ACTION_NONE, "planned at apply: name is not known yet"},
		"and policy": {"policy", `{"name": "<unknown>"}`, nil, pluginv1.Action_ACTION_NONE, "planned at apply: name is not known yet"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: c.kind, Type: "app", Config: encode(t, client, c.kind, "app", c.config), Prior: c.prior})
			if res.GetAction() != c.action || strings.Join(res.GetReasons(), "|") != c.reason || len(res.GetDiagnostics()) > 0 {
				t.Errorf("the answer is %v", res)
			}
			for name, v := range outputs(t, client, c.kind, "app", res.GetOutputs()) {
				if v.IsKnown() {
					t.Errorf("the output %q is known: %#v", name, v)
				}
			}
		})
	}
}

func TestPlanRequest(t *testing.T) {
	var got sdk.PlanRequest[appConfig, appOutputs]
	var host sdk.Host
	client := served(t, app{plan: func(ctx context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		got, host = r, sdk.HostOf(ctx)
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionDelete}, nil
	}})
	if _, err := client.Configure(t.Context(), &pluginv1.ConfigureRequest{HostVersion: "1.2", CacheDir: "/cache", StackDir: "/stack"}); err != nil {
		t.Fatal(err)
	}
	saved := func(name string) *pluginv1.Value {
		res, _ := ask(t, served(t, app{}), &pluginv1.PlanRequest{Config: encode(t, client, "application", "app", `{"name": "`+name+`"}`)})
		return res.GetOutputs()
	}
	config := encode(t, client, "application", "app", `{"name": "web"}`)
	record := &pluginv1.Record{Config: encode(t, client, "application", "app", `{"name": "old"}`), Outputs: saved("made"), Private: []byte("p")}

	ask(t, client, &pluginv1.PlanRequest{Config: config, Prior: record, PlannedPrivate: []byte("q")})
	if got.Config.Name != "web" || got.Prior.Config.Name != "old" || got.Prior.Outputs.Name != "made" || string(got.Prior.Private) != "p" || string(got.Private) != "q" || got.Destroy {
		t.Errorf("the method got %+v with prior %+v", got, got.Prior)
	}
	if !reflect.DeepEqual(host, sdk.Host{Version: "1.2", CacheDir: "/cache", StackDir: "/stack"}) {
		t.Errorf("its context had %+v", host)
	}
	ask(t, client, &pluginv1.PlanRequest{Config: config})
	if got.Prior != nil {
		t.Errorf("there is a prior of nothing: %+v", got.Prior)
	}
	for name, c := range map[string]*pluginv1.Value{"gone": nil, "not known": encode(t, client, "application", "app", `{"name": "<unknown>"}`)} {
		got = sdk.PlanRequest[appConfig, appOutputs]{}
		ask(t, client, &pluginv1.PlanRequest{Config: c, Prior: record, Destroy: true})
		if got.Config.Name != "old" || !got.Destroy {
			t.Errorf("to delete it while its block is %s the method got %+v", name, got)
		}
	}
}

// When the host goes away, running methods are told.
func TestPlanHostGone(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	client := served(t, app{plan: func(ctx context.Context, _ sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return sdk.PlanResult[appOutputs]{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pluginv1.PlanRequest{Kind: "application", Type: "app", Config: encode(t, client, "application", "app", `{"name": "x"}`)}); err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the method was told %v", err)
	}
}

// Plan is told the known pieces of an unknown argument. NotKnown leaves the instance to be planned at apply.
func TestPlanOfATextThatIsKnownInPieces(t *testing.T) {
	var got []string
	client := served(t, app{plan: func(_ context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		if got = r.Config.Image.Pieces(); got == nil {
			return sdk.PlanResult[appOutputs]{}, sdk.NotKnown("image")
		}
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionCreate, Outputs: appOutputs{Name: "planned"}}, nil
	}})
	c := cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal("n"), "image": cty.UnknownVal(cty.String), "token": cty.NullVal(cty.String),
		"tree": cty.NullVal(cty.Object(map[string]cty.Type{"digest": cty.String, "path": cty.String})),
	})
	config, err := wire.Encode(c, c.Type())
	if err != nil {
		t.Fatal(err)
	}
	res, _ := ask(t, client, &pluginv1.PlanRequest{Config: config, PartialTexts: []*pluginv1.PartialText{{Attribute: "image", Known: []string{"a ", " b"}}}})
	if diff := cmp.Diff([]string{"a ", " b"}, got); diff != "" || res.GetAction() != pluginv1.Action_ACTION_CREATE || len(res.GetReasons()) > 0 {
		t.Errorf("%s%v", diff, res)
	}
	res, _ = ask(t, client, &pluginv1.PlanRequest{Config: config})
	if got != nil || res.GetAction() != pluginv1.Action_ACTION_CREATE || strings.Join(res.GetReasons(), "") != "planned at apply: image is not known yet" {
		t.Errorf("%q %v", got, res)
	}
}
