package sdk_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

// Causes and claims of a plan, and transferred claims of an apply, cross the protocol.
func TestCausesAndClaims(t *testing.T) {
	file := sdk.FileClaim("/srv/out/../out/a.yaml")
	answer := sdk.PlanResult[claimerOutputs]{
		Action: sdk.ActionUpdate, Causes: []sdk.Cause{sdk.CauseImage, sdk.CauseConfig, sdk.CauseImage},
		Claims: []sdk.Claim{file, sdk.ImageClaim("registry.example.com/a", "1")},
		Items:  []sdk.Item{{Key: "a", Action: sdk.ActionDelete, Causes: []sdk.Cause{sdk.CauseRemoved}, Claim: file}},
	}
	p := &claimer{answer: answer}
	client := serve(t, sdk.New("p", "1.0.0", sdk.Application("app", p)))
	r := &pluginv1.PlanRequest{Address: "application.app.web", Kind: "application", Type: "app", Config: encode(t, client, "application", "app", `{}`)}
	res := planned(t, client, r)
	if got := strings.Join(res.GetCauses(), " "); got != "image config" {
		t.Errorf("causes %q", got)
	}
	if got := strings.Join(res.GetClaims(), " "); got != "file:/srv/out/a.yaml image:registry.example.com/a:1" {
		t.Errorf("claims %q", got)
	}
	if i := res.GetItems()[0]; i.GetClaim() != string(file) || !slices.Equal(i.GetCauses(), []string{"removed"}) {
		t.Errorf("item %v", i)
	}
	for name, c := range map[string]struct {
		change func(*sdk.PlanResult[claimerOutputs])
		want   string
	}{
		"unknown cause": {func(r *sdk.PlanResult[claimerOutputs]) { r.Causes = []sdk.Cause{"weather"} }, `the cause "weather", which does not exist`},
		"unknown cause, item": {func(r *sdk.PlanResult[claimerOutputs]) {
			r.Items = []sdk.Item{{Key: "a", Causes: []sdk.Cause{"weather"}}}
		}, `the cause "weather", which does not exist`},
		"empty claim":          {func(r *sdk.PlanResult[claimerOutputs]) { r.Claims = []sdk.Claim{""} }, `the claim "", which is not a key`},
		"claim twice":          {func(r *sdk.PlanResult[claimerOutputs]) { r.Claims = []sdk.Claim{"a", "a"} }, `the claim "a" twice`},
		"claim that is binary": {func(r *sdk.PlanResult[claimerOutputs]) { r.Claims = []sdk.Claim{"a\xff"} }, `which is not a key`},
	} {
		p.answer = answer
		c.change(&p.answer)
		d := planned(t, client, r).GetDiagnostics()
		if len(d) != 1 || !strings.Contains(d[0].GetSummary(), c.want) {
			t.Errorf("%s: %v, want %q", name, d, c.want)
		}
	}
	for _, action := range []pluginv1.Action{pluginv1.Action_ACTION_UPDATE, pluginv1.Action_ACTION_DELETE} {
		carryOut(t, client, &pluginv1.ApplyRequest{
			Address: "application.app.web", Kind: "application", Type: "app", Action: action, Config: r.GetConfig(),
			Prior: &pluginv1.Record{Config: r.GetConfig()}, Transferred: []string{"file:/a"},
		})
		if !slices.Equal(p.transferred, []sdk.Claim{"file:/a"}) {
			t.Errorf("%v: transferred %v", action, p.transferred)
		}
		p.transferred = nil
	}
}

// claimer answers with what a test says, and notes what it is told.
type claimer struct {
	answer      sdk.PlanResult[claimerOutputs]
	transferred []sdk.Claim
}

type (
	claimerConfig  struct{}
	claimerOutputs struct{ sdk.ApplicationOutputs }
)

func (c *claimer) Plan(context.Context, sdk.PlanRequest[claimerConfig, claimerOutputs]) (sdk.PlanResult[claimerOutputs], error) {
	return c.answer, nil
}

func (c *claimer) Apply(_ context.Context, r sdk.ApplyRequest[claimerConfig, claimerOutputs]) (sdk.Result[claimerOutputs], error) {
	c.transferred = r.Transferred
	return sdk.Result[claimerOutputs]{}, nil
}

func (c *claimer) Destroy(_ context.Context, r sdk.DestroyRequest[claimerConfig, claimerOutputs]) error {
	c.transferred = r.Transferred
	return nil
}

// where is a source whose revision is the folder of the stack that asks.
type where struct{}

func (where) Observe(ctx context.Context, _ sdk.ObserveRequest[claimerConfig, sdk.SourceOutputs]) (sdk.SourceOutputs, error) {
	h := sdk.HostOf(ctx)
	return sdk.SourceOutputs{Revision: strings.Join([]string{h.Stack, h.StackName, h.StackDir, h.Lineage}, " ")}, nil
}

// Each request is answered for its own stack, whatever other stacks the process serves.
func TestManyStacks(t *testing.T) {
	client := serve(t, sdk.New("p", "1.0.0", sdk.Source("where", where{})))
	if d, err := client.Describe(t.Context(), &pluginv1.DescribeRequest{}); err != nil || !d.GetManyStacks() {
		t.Fatalf("%v %v", d, err)
	}
	for _, id := range []string{"1", "2"} {
		_, err := client.Configure(t.Context(), &pluginv1.ConfigureRequest{Stack: id, StackName: "n" + id, StackDir: filepath.Join("/", id), Lineage: "l" + id})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := &pluginv1.PlanRequest{Address: "source.where.x", Kind: "source", Type: "where", Config: encode(t, client, "source", "where", `{}`)}
	observed := func(stack string) string {
		r.Stack = stack
		res := planned(t, client, r)
		if len(res.GetDiagnostics()) > 0 {
			return res.GetDiagnostics()[0].GetSummary()
		}
		return outputs(t, client, "source", "where", res.GetOutputs())["revision"].AsString()
	}
	for stack, want := range map[string]string{"1": "1 n1 /1 l1", "2": "2 n2 /2 l2", "3": `the plugin was not configured for the stack "3"`} {
		if got := observed(stack); got != want {
			t.Errorf("stack %s: got %q, want %q", stack, got, want)
		}
	}
	if _, err := client.CloseStack(t.Context(), &pluginv1.CloseStackRequest{Stack: "1"}); err != nil {
		t.Fatal(err)
	}
	if got := observed("1"); !strings.Contains(got, "not configured") {
		t.Errorf("a closed stack is answered with %q", got)
	}
	if got := observed("2"); got != "2 n2 /2 l2" {
		t.Errorf("another stack is answered with %q", got)
	}
}

func planned(t *testing.T, client pluginv1.PluginClient, r *pluginv1.PlanRequest) *pluginv1.PlanResult {
	t.Helper()
	res, _ := ask(t, client, r)
	return res
}
