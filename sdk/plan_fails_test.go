package sdk_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

func TestPlanFails(t *testing.T) {
	done := sdk.PlanResult[appOutputs]{Action: sdk.ActionNone, Outputs: appOutputs{Name: "made"}}
	type answer func() (sdk.PlanResult[appOutputs], error)
	always := func(r sdk.PlanResult[appOutputs], err error) answer {
		return func() (sdk.PlanResult[appOutputs], error) { return r, err }
	}
	cases := map[string]struct {
		plan    answer
		check   error
		request *pluginv1.PlanRequest
		want    string // the summaries
		answers bool   // there is a result besides
	}{
		"an error":               {plan: always(done, errors.New("no cluster")), want: "no cluster"},
		"a warning":              {plan: always(done, &sdk.Error{Summary: "old API", Warning: true}), want: "warning: old API", answers: true},
		"a warning and an error": {plan: always(done, sdk.Errors{{Summary: "old API", Warning: true}, {Summary: "no cluster"}}), want: "warning: old API; no cluster"},
		"no Errors":              {plan: always(done, sdk.Errors{}), answers: true},
		"refused by Validate":    {plan: func() (sdk.PlanResult[appOutputs], error) { panic("asked") }, check: sdk.Errors{{Summary: "bad"}, {Summary: "worse"}}, want: "bad; worse"},
		"warned by Validate":     {plan: always(done, &sdk.Error{Summary: "b", Warning: true}), check: &sdk.Error{Summary: "a", Warning: true}, want: "warning: a; warning: b", answers: true},
		"a panic":                {plan: func() (sdk.PlanResult[appOutputs], error) { panic("boom") }, want: "the plugin panicked while working on application.app.web: boom"},
		"a nil pointer": {plan: func() (sdk.PlanResult[appOutputs], error) {
			var p *appOutputs
			return sdk.PlanResult[appOutputs]{Outputs: *p}, nil
		}, want: "the plugin panicked while working on application.app.web: runtime error: invalid memory address or nil pointer dereference"},
		"no action":          {plan: always(sdk.PlanResult[appOutputs]{}, nil), want: `the plugin answered with the action "", which does not exist`},
		"an odd item":        {plan: always(sdk.PlanResult[appOutputs]{Action: sdk.ActionNone, Items: []sdk.Item{{Key: "k", Action: "burn"}}}, nil), want: `the plugin answered with an item "k" that cannot be sent: the action "burn" does not exist`},
		"no JSON":            {plan: always(sdk.PlanResult[appOutputs]{Action: sdk.ActionNone, Items: []sdk.Item{{Key: "k", Fields: []sdk.Field{{Path: "p", Before: math.NaN()}}}}}, nil), want: `the plugin answered with an item "k" that cannot be sent: field "p": json: unsupported value: NaN`},
		"an unknown type":    {request: &pluginv1.PlanRequest{Kind: "build", Type: "app"}, want: `the plugin test has no build "app"`},
		"garbage":            {request: &pluginv1.PlanRequest{Config: &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: []byte{0xdd, 0xff, 0xff, 0xff, 0xff}}}}, want: "davit sent a value that does not fit the schema: the MessagePack value ends early"},
		"garbage in a prior": {request: &pluginv1.PlanRequest{Prior: &pluginv1.Record{Outputs: &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`{`)}}}}, want: "the outputs in state: davit sent a value that does not fit the schema: the value is not JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := served(t, app{
				plan: func(context.Context, sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
					return c.plan()
				},
				check: func(appConfig) error { return c.check },
			})
			r := c.request
			if r == nil {
				r = &pluginv1.PlanRequest{Config: encode(t, client, "application", "app", `{"name": "web"}`)}
			}
			res, _ := ask(t, client, r)
			if got := summaries(res.GetDiagnostics()); got != c.want {
				t.Errorf("it said %q, want %q", got, c.want)
			}
			if answers := res.GetOutputs() != nil; answers != c.answers {
				t.Errorf("there is a result: %v, want %v", answers, c.answers)
			}
			if strings.Contains(res.String(), "goroutine") || strings.Contains(res.String(), ".go:") {
				t.Errorf("a stack was sent: %v", res)
			}
		})
	}
}

// A panic says where, under a code of its own, and ends nothing else.
func TestPlanPanic(t *testing.T) {
	client := served(t, app{plan: func(_ context.Context, r sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		if r.Config.Name == "bad" {
			panic(errors.New("boom"))
		}
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionNone}, nil
	}})
	stream, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"bad", "good"} {
		r := &pluginv1.PlanRequest{Id: uint64(i), Address: "application.app." + name, Kind: "application", Type: "app", Config: encode(t, client, "application", "app", `{"name": "`+name+`"}`)}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		list := m.GetResult().GetDiagnostics()
		if bad := name == "bad"; bad != (len(list) == 1) || bad && (list[0].GetCode() != "plugin.panic" || !strings.Contains(list[0].GetSummary(), "application.app.bad: boom")) {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// What a method's goroutine tells after the method has returned is not sent behind the result.
func TestPlanLeftBehind(t *testing.T) {
	var left context.Context
	client := served(t, app{plan: func(ctx context.Context, _ sdk.PlanRequest[appConfig, appOutputs]) (sdk.PlanResult[appOutputs], error) {
		left = ctx
		return sdk.PlanResult[appOutputs]{Action: sdk.ActionNone}, nil
	}})
	stream, err := client.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := encode(t, client, "application", "app", `{"name": "x"}`)
	for i := range 2 {
		if err := stream.Send(&pluginv1.PlanRequest{Id: uint64(i), Kind: "application", Type: "app", Config: config}); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil || m.GetResult() == nil {
			t.Fatalf("instead of a result there came %v, %v", m, err)
		}
		sdk.Log(left, "late", "line")
		sdk.AddItem(left, sdk.Item{Key: "late"})
	}
}
