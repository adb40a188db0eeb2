package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/wire"
)

type (
	applyRequest = sdk.ApplyRequest[appConfig, appOutputs]
	applyResult  = sdk.Result[appOutputs]
)

// made is a result.
func made(name string, private string) applyResult {
	return applyResult{Outputs: appOutputs{Name: name}, Private: []byte(private)}
}

// carryOut applies one change of the application and returns all that was told, in the order it was told.
func carryOut(t testing.TB, client pluginv1.PluginClient, r *pluginv1.ApplyRequest) (*pluginv1.ApplyResult, []string) {
	t.Helper()
	stream, err := client.Apply(t.Context(), complete(t, client, r))
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, client, stream)
}

// complete fills in what a test does not care for.
func complete(t testing.TB, client pluginv1.PluginClient, r *pluginv1.ApplyRequest) *pluginv1.ApplyRequest {
	t.Helper()
	r.Kind, r.Type, r.Address = "application", "app", "application.app.web"
	if r.Action == 0 {
		r.Action = pluginv1.Action_ACTION_CREATE
	}
	if r.Config == nil && r.Action != pluginv1.Action_ACTION_DELETE {
		r.Config = encode(t, client, "application", "app", `{"name": "web"}`)
	}
	return r
}

func listen(t testing.TB, client pluginv1.PluginClient, stream pluginv1.Plugin_ApplyClient) (*pluginv1.ApplyResult, []string) {
	t.Helper()
	var result *pluginv1.ApplyResult
	var told []string
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if result != nil {
			t.Fatalf("after the result there came %v", m)
		}
		switch b := m.GetBody().(type) {
		case *pluginv1.ApplyResponse_Log:
			told = append(told, fmt.Sprintf("log %s: %s", b.Log.GetStream(), b.Log.GetLine()))
		case *pluginv1.ApplyResponse_Progress:
			told = append(told, fmt.Sprintf("progress %s %d/%d", b.Progress.GetMessage(), b.Progress.GetDone(), b.Progress.GetTotal()))
		case *pluginv1.ApplyResponse_Item:
			told = append(told, fmt.Sprintf("item %s %s %s", b.Item.GetKey(), b.Item.GetStatus(), b.Item.GetMessage()))
		case *pluginv1.ApplyResponse_Checkpoint:
			told = append(told, fmt.Sprintf("saved %s %s", nameIn(t, client, b.Checkpoint.GetOutputs()), b.Checkpoint.GetPrivate()))
		case *pluginv1.ApplyResponse_Result:
			result = b.Result
		}
	}
	if result == nil {
		t.Fatal("there was no result")
	}
	return result, told
}

// nameIn reads the output "name", "-" without outputs.
func nameIn(t testing.TB, client pluginv1.PluginClient, v *pluginv1.Value) string {
	t.Helper()
	if v == nil {
		return "-"
	}
	return outputs(t, client, "application", "app", v)["name"].AsString()
}

func TestApply(t *testing.T) {
	var got applyRequest
	client := served(t, app{apply: func(ctx context.Context, r applyRequest) (applyResult, error) {
		got = r
		sdk.Log(ctx, "Deployment/web", "begun \xff")
		sdk.Progress(ctx, "pushing", 1, 3)
		sdk.ItemStatus(ctx, "d", "applied", "")
		if err := sdk.Save(ctx, made("part", "p1")); err != nil {
			return applyResult{}, err
		}
		sdk.Log(ctx, "Deployment/web", "done")
		return made("whole", "p2"), nil
	}})
	form := typeOf(t, described(t, client, "application", "app").GetOutputs())
	attrs := map[string]cty.Value{}
	for name, ty := range form.AttributeTypes() {
		attrs[name] = cty.UnknownVal(ty)
	}
	attrs["name"] = cty.StringVal("planned")
	planned, err := wire.Encode(cty.ObjectVal(attrs), form)
	if err != nil {
		t.Fatal(err)
	}
	res, told := carryOut(t, client, &pluginv1.ApplyRequest{
		Operation: "op1", Action: pluginv1.Action_ACTION_UPDATE, Planned: planned, PlannedPrivate: []byte("q"),
		Prior:      &pluginv1.Record{Config: encode(t, client, "application", "app", `{"name": "old"}`), Private: []byte("r")},
		Checkpoint: &pluginv1.Checkpoint{Outputs: planned, Private: []byte("s")},
	})
	want := []string{"log Deployment/web: begun \uFFFD", "progress pushing 1/3", "item d applied ", "saved part p1", "log Deployment/web: done"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (- want, + got):\n%s", diff)
	}
	if name := nameIn(t, client, res.GetOutputs()); name != "whole" || string(res.GetPrivate()) != "p2" || len(res.GetDiagnostics()) > 0 {
		t.Errorf("the result is %v", res)
	}
	if got.Operation != "op1" || got.Address != "application.app.web" || got.Action != sdk.ActionUpdate || got.Config.Name != "web" ||
		got.Prior.Config.Name != "old" || string(got.Prior.Private) != "r" || string(got.Private) != "q" ||
		got.Planned.Name != "planned" || !got.Planned.Image.IsUnknown() || got.Checkpoint.Outputs.Name != "planned" || string(got.Checkpoint.Private) != "s" {
		t.Errorf("the method got %+v", got)
	}
}

// An operation is begun before the time that its run has the lock until, and not after.
func TestApplyInTime(t *testing.T) {
	begun := 0
	client := served(t, app{apply: func(context.Context, applyRequest) (applyResult, error) {
		begun++
		return made("done", ""), nil
	}})
	for _, c := range []struct {
		before time.Time
		code   codes.Code
	}{{time.Now().Add(time.Hour), codes.OK}, {time.Now(), codes.Aborted}, {time.Unix(1, 0), codes.Aborted}} {
		stream, err := client.Apply(t.Context(), complete(t, client, &pluginv1.ApplyRequest{Operation: "op", BeginBeforeUnixMs: c.before.UnixMilli()}))
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != c.code {
			t.Errorf("%s: %v", c.before, err)
		}
	}
	if begun != 1 {
		t.Errorf("%d were begun", begun)
	}
}

func TestApplyFails(t *testing.T) {
	save := func(ctx context.Context, r applyResult) {
		if err := sdk.Save(ctx, r); err != nil {
			panic(err)
		}
	}
	cases := map[string]struct {
		apply  func(ctx context.Context) (applyResult, error)
		action pluginv1.Action
		config string
		want   string // the summaries
		kept   string // the output "name" and the private bytes that go to state
	}{
		"before anything is saved": {apply: func(context.Context) (applyResult, error) { return made("x", "x"), errors.New("refused") }, want: "refused", kept: "- "},
		"after the last of two": {apply: func(ctx context.Context) (applyResult, error) {
			save(ctx, made("first", "1"))
			save(ctx, made("second", "2"))
			return made("x", "x"), errors.New("refused")
		}, want: "refused", kept: "second 2"},
		"with a panic": {apply: func(ctx context.Context) (applyResult, error) {
			save(ctx, made("first", "1"))
			panic("boom")
		}, want: "the plugin panicked while working on application.app.web: boom", kept: "first 1"},
		"with a warning only": {apply: func(context.Context) (applyResult, error) {
			return made("whole", "1"), &sdk.Error{Summary: "slow", Warning: true}
		}, want: "warning: slow", kept: "whole 1"},
		"with an unknown output": {apply: func(context.Context) (applyResult, error) {
			return applyResult{Outputs: appOutputs{Name: "made", Image: sdk.Unknown[string]()}, Private: []byte("1")}, nil
		}, want: `the plugin answered with a result whose "image" is unknown`, kept: "made 1"},
		"with another type saved": {apply: func(ctx context.Context) (applyResult, error) {
			return applyResult{}, sdk.Save(ctx, sdk.Result[string]{})
		}, want: "the plugin answered with a string where the type has a sdk_test.appOutputs", kept: "- "},
		"with an unknown argument":   {config: `{"name": "<unknown>"}`, want: "it cannot be applied: name is not known yet", kept: "- "},
		"with an unknown action":     {action: 99, want: "davit asked for the action 99, which this plugin does not know", kept: "- "},
		"deleting what was not made": {action: pluginv1.Action_ACTION_DELETE, want: "davit asked for a deletion without a record", kept: "- "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := served(t, app{apply: func(ctx context.Context, _ applyRequest) (applyResult, error) { return c.apply(ctx) }})
			r := &pluginv1.ApplyRequest{Action: c.action}
			if c.config != "" {
				r.Config = encode(t, client, "application", "app", c.config)
			}
			res, _ := carryOut(t, client, r)
			if got := summaries(res.GetDiagnostics()); got != c.want {
				t.Errorf("it said %q, want %q", got, c.want)
			}
			if kept := nameIn(t, client, res.GetOutputs()) + " " + string(res.GetPrivate()); kept != c.kept {
				t.Errorf("%q goes to state, want %q", kept, c.kept)
			}
		})
	}
}

func TestDestroy(t *testing.T) {
	var got sdk.DestroyRequest[appConfig, appOutputs]
	var fails error
	client := served(t, app{destroy: func(ctx context.Context, r sdk.DestroyRequest[appConfig, appOutputs]) error {
		got = r
		sdk.ItemStatus(ctx, "d", "deleted", "")
		return fails
	}})
	prior := &pluginv1.Record{Config: encode(t, client, "application", "app", `{"name": "old"}`), Private: []byte("r")}
	res, told := carryOut(t, client, &pluginv1.ApplyRequest{Operation: "op", Action: pluginv1.Action_ACTION_DELETE, Prior: prior, PlannedPrivate: []byte("q")})
	if res.GetOutputs() != nil || len(res.GetDiagnostics()) > 0 || strings.Join(told, "|") != "item d deleted " {
		t.Errorf("it told %q and ended with %v", told, res)
	}
	if got.Operation != "op" || got.Config.Name != "old" || got.Prior.Config.Name != "old" || string(got.Prior.Private) != "r" || string(got.Private) != "q" {
		t.Errorf("the method got %+v", got)
	}
	fails = errors.New("still in use")
	res, _ = carryOut(t, client, &pluginv1.ApplyRequest{Action: pluginv1.Action_ACTION_DELETE, Prior: prior})
	if summaries(res.GetDiagnostics()) != "still in use" {
		t.Errorf("it ended with %v", res)
	}
}

func TestCancel(t *testing.T) {
	cases := map[string]struct {
		operations []string
		want       []string // the operations that end
	}{
		"one":       {[]string{"b"}, []string{"b"}},
		"two":       {[]string{"a", "c", "not there"}, []string{"a", "c"}},
		"all":       {nil, []string{"a", "b", "c"}},
		"not there": {[]string{"x"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			begun, release := make(chan string), make(chan struct{})
			client := served(t, app{apply: func(ctx context.Context, r applyRequest) (applyResult, error) {
				begun <- r.Operation
				select {
				case <-ctx.Done():
				case <-release:
					return made("done", ""), nil
				}
				// It is told to end cleanly: what it has made is still kept.
				return applyResult{}, errors.Join(sdk.Save(ctx, made("part", "")), fmt.Errorf("waiting: %w", ctx.Err()))
			}})
			streams := map[string]pluginv1.Plugin_ApplyClient{}
			for _, op := range []string{"a", "b", "c"} {
				s, err := client.Apply(t.Context(), complete(t, client, &pluginv1.ApplyRequest{Operation: op}))
				if err != nil {
					t.Fatal(err)
				}
				streams[op] = s
				<-begun
			}
			if _, err := client.Cancel(t.Context(), &pluginv1.CancelRequest{Operations: c.operations}); err != nil {
				t.Fatal(err)
			}
			var ended []string
			for _, op := range c.want {
				res, _ := listen(t, client, streams[op])
				if list := res.GetDiagnostics(); len(list) != 1 || list[0].GetCode() != "cancelled" || nameIn(t, client, res.GetOutputs()) != "part" {
					t.Errorf("%s ended with %v", op, res)
				}
				ended = append(ended, op)
				delete(streams, op)
			}
			close(release)
			for op, s := range streams {
				if res, _ := listen(t, client, s); nameIn(t, client, res.GetOutputs()) != "done" {
					t.Errorf("%s was not to end, and ended with %v", op, res)
				}
			}
			if diff := cmp.Diff(c.want, ended); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Saving is told to have failed when the host is gone, and when the operation is over.
func TestSaveTooLate(t *testing.T) {
	saved := make(chan error, 1)
	var left context.Context
	client := served(t, app{apply: func(ctx context.Context, r applyRequest) (applyResult, error) {
		left = ctx
		if r.Operation == "hangs" {
			sdk.Log(ctx, "", "begun")
			<-ctx.Done()
			saved <- sdk.Save(ctx, made("part", ""))
		}
		return made("done", ""), nil
	}})
	carryOut(t, client, &pluginv1.ApplyRequest{})
	if err := sdk.Save(left, made("late", "")); err == nil || !strings.Contains(err.Error(), "the operation has ended") {
		t.Errorf("after the end Save returns %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.Apply(ctx, complete(t, client, &pluginv1.ApplyRequest{Operation: "hangs"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-saved; err == nil {
		t.Error("Save says that it has saved, though nobody has listened")
	}
}
