// Command noop is the smallest useful plugin: an application that is nothing but what state has of it. It
// shows what a plugin needs, and the benchmarks measure davit itself with it.
package main

import (
	"context"

	"github.com/davit-sh/davit/sdk"
)

type config struct {
	Input    sdk.Value[string] `davit:"input,optional" doc:"Any text."`
	Triggers []string          `davit:"triggers,optional" doc:"Texts that nothing is made of."`
}

type outputs struct {
	sdk.ApplicationOutputs
	Output sdk.Value[string] `davit:"output" doc:"The input."`
}

type noop struct{}

// Plan compares the input with the output of the last apply: there is nothing else to look at.
func (noop) Plan(_ context.Context, r sdk.PlanRequest[config, outputs]) (sdk.PlanResult[outputs], error) {
	res := sdk.PlanResult[outputs]{Action: sdk.ActionNone}
	if r.Destroy {
		res.Action = sdk.ActionDelete
		return res, nil
	}
	res.Outputs.Health, res.Outputs.Output = sdk.Known("Current"), r.Config.Input
	if r.Prior == nil {
		res.Action = sdk.ActionCreate
		return res, nil
	}
	if r.Config.Input != r.Prior.Outputs.Output || r.Config.Input.IsUnknown() {
		res.Action, res.Reasons = sdk.ActionUpdate, []string{"the input changes"}
	}
	return res, nil
}

// Apply has nothing to do.
func (noop) Apply(_ context.Context, r sdk.ApplyRequest[config, outputs]) (sdk.Result[outputs], error) {
	r.Planned.Output = r.Config.Input
	return sdk.Result[outputs]{Outputs: r.Planned}, nil
}

// Destroy has nothing to do.
func (noop) Destroy(context.Context, sdk.DestroyRequest[config, outputs]) error { return nil }

func main() {
	sdk.Serve(sdk.New("noop", "1.0.0", sdk.Application("noop", noop{})))
}
