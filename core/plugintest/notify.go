package plugintest

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// told tells whether the type is told of what happens, and plans nothing.
func (t *trial) told() bool { return t.typ.GetKind() == "notification" }

// notice is an event with everything that one can have.
func (t *trial) notice(config cty.Value) *pluginv1.NotifyRequest {
	return &pluginv1.NotifyRequest{
		Address: t.address(), Type: t.typ.GetName(), Config: t.encode(config, t.configType),
		Event: &pluginv1.Event{
			Id: "2f1d3c1e-0000-4000-8000-000000000001", Name: "failed", TimeUnixMs: 1_767_323_045_000, Stack: "conformance", Lineage: "2f1d3c1e", Plan: "sha256:0",
			Who: "davit@plugin-test", Summary: "1 done, 1 failed, 1 not started",
			Changes: []*pluginv1.EventChange{
				{Address: `application.kubernetes.api["prod"]`, Action: pluginv1.Action_ACTION_UPDATE, Outcome: "failed", Error: "the rollout failed", Reasons: []string{"a new image"},
					Images: []*pluginv1.Image{{Name: "Deployment/shop/api:api", Before: "api:1", After: "api:2"}}},
				{Address: "build.buildx.api", Action: pluginv1.Action_ACTION_BUILD, Outcome: "done"},
				{Address: "application.kubernetes.web", Action: pluginv1.Action_ACTION_CREATE, Outcome: "not_started"},
			},
		},
	}
}

// notified tells the example of an event, twice: davit may tell the same event again.
func (t *trial) notified(ctx context.Context) outcome {
	if t.cannot != "" {
		return skip("%s", t.cannot)
	}
	for _, again := range []string{"", " that was told before"} {
		c, err := t.rig.running(ctx)
		if err != nil {
			return fail("Answer Notify.", "%v", err)
		}
		res, err := c.Notify(ctx, t.notice(t.example.config))
		if err != nil {
			return fail("Answer Notify.", "%v", err)
		}
		if e := firstError(res.GetDiagnostics()); e != "" && t.example.made && again == "" {
			return skip("the configuration that was made of the schema was refused (%s): give one in %s", short(e), FileNames[0])
		} else if e != "" {
			return fail("Take every event, also one with the id of an earlier one: davit tells it again when it does not know whether it was heard.", "an event%s was refused: %s", again, e)
		}
	}
	// Events that are added later have other names.
	later := t.notice(t.example.config)
	later.Event = &pluginv1.Event{Id: "2", Name: "something_new", Summary: "something new"}
	c, err := t.rig.running(ctx)
	if err == nil {
		var res *pluginv1.NotifyResponse
		if res, err = c.Notify(ctx, later); err == nil && hasError(res.GetDiagnostics()) {
			return fail("Pass over events whose names you do not know, or pass them on as they are.", "an event of an unknown name was refused: %s", firstError(res.GetDiagnostics()))
		}
	}
	if err != nil {
		return fail("Answer Notify.", "%v", err)
	}
	return pass()
}
