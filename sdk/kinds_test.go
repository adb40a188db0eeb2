package sdk_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

type tagsConfig struct {
	Repository string            `davit:"repository"`
	Late       sdk.Value[string] `davit:"late,optional"`
}

// tags is an image with two tags.
type tags struct{}

func (tags) Observe(ctx context.Context, r sdk.ObserveRequest[tagsConfig, sdk.ImageOutputs]) (sdk.ImageOutputs, error) {
	sdk.AddItem(ctx, sdk.Item{Key: "1.0", Note: "new"})
	return sdk.ImageOutputs{Repository: r.Config.Repository, Tags: []string{"1.0", "1.1"}}, nil
}

func (tags) Resolve(_ context.Context, r sdk.ResolveRequest[tagsConfig]) (sdk.Resolved, error) {
	switch r.Tag {
	case "1.0":
		return sdk.Resolved{Digest: "sha256:" + r.Config.Repository, Platforms: []string{"linux/amd64"}, Created: time.Unix(1_700_000_000, 0)}, nil
	case "boom":
		panic("boom")
	}
	return sdk.Resolved{}, &sdk.Error{Summary: "there is no tag " + r.Tag, Code: "registry.no-tag", Path: sdk.At("repository")}
}

func (tags) Validate(_ context.Context, c tagsConfig) error {
	if c.Repository == "" {
		return sdk.Errors{sdk.Errorf(sdk.At("repository"), "it is empty")}
	}
	return nil
}

// first is a policy that takes the first tag.
type first struct{}

func (first) Decide(_ context.Context, r sdk.DecideRequest[none]) (sdk.Decision, error) {
	c := r.Candidates
	if len(c.Tags) == 0 {
		return sdk.Decision{}, errors.New("no tags")
	}
	return sdk.Decision{Ranked: c.Tags[:1], Reason: "first after " + c.Current, Rejected: []sdk.Rejection{{Tag: c.Tags[1], Reason: "second"}}}, nil
}

func registry() *sdk.Plugin {
	return sdk.New("registry", "1", sdk.Image("tags", tags{}), sdk.Policy("first", first{}))
}

func TestObserve(t *testing.T) {
	client := serve(t, registry())
	res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: "image", Type: "tags", Config: encode(t, client, "image", "tags", `{"repository": "acme/api"}`)})
	if res.GetAction() != pluginv1.Action_ACTION_NONE || len(res.GetItems()) != 1 || len(res.GetDiagnostics()) > 0 {
		t.Errorf("the answer is %v", res)
	}
	if got := outputs(t, client, "image", "tags", res.GetOutputs())["tags"]; got.LengthInt() != 2 {
		t.Errorf("tags: %#v", got)
	}
}

func TestDecide(t *testing.T) {
	client := serve(t, registry())
	res, _ := ask(t, client, &pluginv1.PlanRequest{
		Kind: "policy", Type: "first", Config: encode(t, client, "policy", "first", `{}`), Candidates: &pluginv1.Candidates{Tags: []string{"b", "a"}, Current: "z"},
	})
	want := &pluginv1.PlanResult{Action: pluginv1.Action_ACTION_NONE, Decision: &pluginv1.Decision{
		Ranked: []string{"b"}, Reason: "first after z", Rejected: []*pluginv1.Rejection{{Tag: "a", Reason: "second"}},
	}}
	if !proto.Equal(want, res) {
		t.Errorf("the decision is %v, want %v", res, want)
	}
}

func TestResolve(t *testing.T) {
	client := serve(t, registry())
	resolve := func(config, tag string) *pluginv1.ResolveResponse {
		t.Helper()
		res, err := client.Resolve(t.Context(), &pluginv1.ResolveRequest{Address: "image.tags.api", Type: "tags", Config: encode(t, client, "image", "tags", config), Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	want := &pluginv1.ResolveResponse{Digest: "sha256:acme", Platforms: []string{"linux/amd64"}, CreatedUnix: 1_700_000_000}
	if got := resolve(`{"repository": "acme"}`, "1.0"); !proto.Equal(want, got) {
		t.Errorf("it is %v, want %v", got, want)
	}
	for name, c := range map[string][3]string{
		"no such tag": {`{"repository": "acme"}`, "2.0", "there is no tag 2.0"},
		"a panic":     {`{"repository": "acme"}`, "boom", "the plugin panicked while working on image.tags.api: boom"},
		"not known":   {`{"repository": "<unknown>"}`, "1.0", "the tag cannot be resolved: repository is not known yet"},
	} {
		if got := resolve(c[0], c[1]); summaries(got.GetDiagnostics()) != c[2] {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestValidate(t *testing.T) {
	client := serve(t, registry())
	for name, c := range map[string][2]string{
		"good":              {`{"repository": "acme"}`, ""},
		"bad":               {`{"repository": ""}`, "it is empty"},
		"not known":         {`{"repository": "<unknown>"}`, ""},
		"a Value not known": {`{"repository": "", "late": "<unknown>"}`, "it is empty"},
	} {
		res, err := client.Validate(t.Context(), &pluginv1.ValidateRequest{Kind: "image", Type: "tags", Config: encode(t, client, "image", "tags", c[0])})
		if err != nil {
			t.Fatal(err)
		}
		if got := summaries(res.GetDiagnostics()); got != c[1] {
			t.Errorf("%s: %q, want %q", name, got, c[1])
		}
	}
}

func TestNotThere(t *testing.T) {
	client := serve(t, registry())
	got := map[string]codes.Code{}
	_, err := client.Validate(t.Context(), &pluginv1.ValidateRequest{Kind: "image", Type: "x"})
	got["validate"] = status.Code(err)
	_, err = client.Resolve(t.Context(), &pluginv1.ResolveRequest{Type: "x"})
	got["resolve"] = status.Code(err)
	_, err = client.Import(t.Context(), &pluginv1.ImportRequest{})
	got["import"] = status.Code(err)
	watch, err := client.Watch(t.Context(), &pluginv1.WatchRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	got["watch"] = status.Code(err)
	watch, err = client.Watch(t.Context(), &pluginv1.WatchRequest{Instances: []*pluginv1.WatchedInstance{{Kind: "policy", Type: "first"}}})
	if err == nil {
		_, err = watch.Recv()
	}
	got["watch a policy"] = status.Code(err)
	_, err = client.Notify(t.Context(), &pluginv1.NotifyRequest{Type: "x"})
	got["notify"] = status.Code(err)
	for name, r := range map[string]*pluginv1.ApplyRequest{"apply": {Kind: "build", Type: "x"}, "apply an image": {Kind: "image", Type: "tags"}} {
		apply, err := client.Apply(t.Context(), r)
		if err == nil {
			_, err = apply.Recv()
		}
		got[name] = status.Code(err)
	}
	want := map[string]codes.Code{
		"validate": codes.NotFound, "resolve": codes.NotFound, "import": codes.NotFound, "watch": codes.InvalidArgument, "watch a policy": codes.Unimplemented, "notify": codes.NotFound,
		"apply": codes.NotFound, "apply an image": codes.InvalidArgument,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes (- want, + got):\n%s", diff)
	}
}

// seen is a source that notes its request.
type seen struct {
	got *sdk.ObserveRequest[tagsConfig, sdk.SourceOutputs]
}

func (s seen) Observe(_ context.Context, r sdk.ObserveRequest[tagsConfig, sdk.SourceOutputs]) (sdk.SourceOutputs, error) {
	*s.got = r
	return sdk.SourceOutputs{Revision: r.Config.Repository}, nil
}

// A source gets the outputs in state and the pinned ones in the type of its own outputs, and nil where there are none.
func TestObserveRequest(t *testing.T) {
	var got sdk.ObserveRequest[tagsConfig, sdk.SourceOutputs]
	client := serve(t, sdk.New("test", "1", sdk.Source("seen", seen{&got})))
	request := func(repository string) *pluginv1.PlanRequest {
		return &pluginv1.PlanRequest{Address: "source.seen.x", Kind: "source", Type: "seen", Config: encode(t, client, "source", "seen", `{"repository": "`+repository+`"}`)}
	}
	outputs := func(revision string) *pluginv1.Value {
		res, _ := ask(t, client, request(revision))
		return res.GetOutputs()
	}
	prior, pinned := outputs("before"), outputs("reviewed")
	if got.Prior != nil || got.Pinned != nil {
		t.Errorf("without prior and pinned outputs: %+v, %+v", got.Prior, got.Pinned)
	}
	r := request("now")
	r.Prior, r.Pinned = &pluginv1.Record{Outputs: prior}, pinned
	ask(t, client, r)
	if got.Address != "source.seen.x" || got.Config.Repository != "now" || got.Prior == nil || got.Prior.Revision != "before" || got.Pinned == nil || got.Pinned.Revision != "reviewed" {
		t.Errorf("%+v, prior %+v, pinned %+v", got, got.Prior, got.Pinned)
	}
}
