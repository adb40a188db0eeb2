package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

type chatConfig struct {
	Room  string `davit:"room"`
	Token string `davit:"token,sensitive"`
}

// chat is a notification that keeps what it is told.
type chat struct{ heard chan sdk.Event }

func (c chat) Notify(_ context.Context, config chatConfig, e sdk.Event) error {
	switch {
	case config.Room == "boom":
		panic("a bug")
	case config.Token != "t0ken":
		return &sdk.Error{Summary: "the server does not know the token", Path: sdk.At("token")}
	}
	c.heard <- e
	return nil
}

// bell is a source that is watched.
type bell struct{}

type bellConfig struct {
	Name string `davit:"name"`
}

func (bell) Observe(context.Context, sdk.ObserveRequest[bellConfig, sdk.SourceOutputs]) (o sdk.SourceOutputs, err error) {
	return o, nil
}

func (bell) Watch(ctx context.Context, r sdk.WatchRequest[bellConfig, sdk.SourceOutputs], notice func(sdk.Notice)) error {
	name := r.Config.Name
	if name == "broken" {
		return errors.New("the bell is broken")
	}
	notice(sdk.Notice{Reason: name + " rang"})
	if r.Prior != nil {
		name = fmt.Sprintf("%s, last at %s, asked each %s,", name, r.Prior.Outputs.Revision, r.Interval)
	}
	notice(sdk.Notice{Reason: name + " rang again", Health: "Failed"})
	<-ctx.Done()
	return ctx.Err()
}

func TestNotify(t *testing.T) {
	c := chat{make(chan sdk.Event, 1)}
	client := serve(t, sdk.New("chat", "1.0.0", sdk.Notification("chat", c)))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tell := func(config string) *pluginv1.NotifyResponse {
		t.Helper()
		res, err := client.Notify(t.Context(), &pluginv1.NotifyRequest{
			Address: "notification.chat.team", Type: "chat", Config: encode(t, client, "notification", "chat", config),
			Event: &pluginv1.Event{
				Id: "e1", Name: "failed", TimeUnixMs: at.UnixMilli(), Stack: "shop", Lineage: "l", Plan: "sha256:1", Who: "ann@host", Summary: "1 failed",
				Changes: []*pluginv1.EventChange{{
					Address: "application.x.y", Action: pluginv1.Action_ACTION_UPDATE, Outcome: "failed", Error: "no", Reasons: []string{"a commit"},
					Images: []*pluginv1.Image{{Name: "web", Before: "a:1", After: "a:2"}},
				}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := tell(`{"room": "ops", "token": "t0ken"}`); len(res.GetDiagnostics()) > 0 {
		t.Fatal(res)
	}
	want := sdk.Event{
		ID: "e1", Name: sdk.EventFailed, Time: at, Stack: "shop", Lineage: "l", Plan: "sha256:1", Who: "ann@host", Summary: "1 failed",
		Changes: []sdk.EventChange{{
			Address: "application.x.y", Action: sdk.ActionUpdate, Outcome: "failed", Error: "no", Reasons: []string{"a commit"},
			Images: []sdk.EventImage{{Name: "web", Before: "a:1", After: "a:2"}},
		}},
	}
	if diff := cmp.Diff(want, <-c.heard); diff != "" {
		t.Error(diff)
	}
	for config, want := range map[string]string{
		`{"room": "ops", "token": "guess"}`:       "the server does not know the token",
		`{"room": "boom", "token": "t0ken"}`:      "the plugin panicked while working on notification.chat.team: a bug",
		`{"room": "<unknown>", "token": "guess"}`: "the event cannot be handled: room is not known yet",
	} {
		if got := summaries(tell(config).GetDiagnostics()); got != want {
			t.Errorf("%s: %q, want %q", config, got, want)
		}
	}
}

func TestWatch(t *testing.T) {
	client := serve(t, sdk.New("bell", "1.0.0", sdk.Source("bell", bell{})))
	described, err := client.Describe(t.Context(), &pluginv1.DescribeRequest{})
	if err != nil || !described.GetTypes()[0].GetCanWatch() {
		t.Fatalf("%v %v", described, err)
	}
	watched := func(names ...string) *pluginv1.WatchRequest {
		r := &pluginv1.WatchRequest{IntervalMs: 1500}
		for _, n := range names {
			r.Instances = append(r.Instances, &pluginv1.WatchedInstance{Address: "source.bell." + n, Kind: "source", Type: "bell", Config: encode(t, client, "source", "bell", `{"name": "`+n+`"}`)})
		}
		return r
	}
	ctx, cancel := context.WithCancel(t.Context())
	request := watched("a", "b")
	request.Instances[1].Prior = &pluginv1.Record{Outputs: &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`{"revision": "r7", "time": "", "tree": null}`)}}}
	stream, err := client.Watch(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string]int{}
	for range 4 {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		heard[fmt.Sprintf("%s: %s [%s]", m.GetAddress(), m.GetReason(), m.GetHealth())]++
	}
	want := map[string]int{
		"source.bell.a: a rang []": 1, "source.bell.a: a rang again [Failed]": 1,
		"source.bell.b: b rang []": 1, "source.bell.b: b, last at r7, asked each 1.5s, rang again [Failed]": 1,
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error(diff)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
	// One that is broken does not end the watch of the other.
	if stream, err = client.Watch(t.Context(), watched("broken", "a")); err != nil {
		t.Fatal(err)
	}
	heard = map[string]int{}
	for range 3 {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		heard[m.GetAddress()+": "+m.GetReason()+m.GetError()]++
	}
	want = map[string]int{"source.bell.broken: the bell is broken": 1, "source.bell.a: a rang": 1, "source.bell.a: a rang again": 1}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error(diff)
	}
}
