package sdk_test

import (
	"context"
	"fmt"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// A source whose content is the time, in steps.
type clock struct{}

type clockConfig struct {
	Step sdk.Duration `davit:"step,optional" default:"1h" doc:"How often it changes."`
}

func (clock) Observe(ctx context.Context, c clockConfig) (sdk.SourceOutputs, error) {
	if c.Step <= 0 {
		return sdk.SourceOutputs{}, &sdk.Error{Summary: "the step is not positive", Hint: `Write a length of time such as "30s".`, Path: sdk.At("step")}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Truncate(c.Step.Duration())
	sdk.Log(ctx, "clock", "it is "+now.Format(time.TimeOnly))
	return sdk.SourceOutputs{Revision: now.Format(time.RFC3339), Time: now.Format(time.RFC3339)}, nil
}

// main of this plugin would be sdk.Serve(plugin).
func Example() {
	plugin := sdk.New("clock", "0.1.0", sdk.Source("clock", clock{}, sdk.Description("Changes with time.")))
	for _, t := range plugin.Describe().GetTypes() {
		fmt.Println(t.GetKind(), t.GetName()+":", t.GetDescription())
	}

	// In a test, a method is called as it is.
	var call sdk.TestCall
	out, err := clock{}.Observe(call.Context(context.Background()), clockConfig{Step: sdk.Duration(time.Hour)})
	fmt.Println(out.Revision, err)
	fmt.Println(call.Logs)
	// Output:
	// source clock: Changes with time.
	// 2026-01-02T03:00:00Z <nil>
	// [clock: it is 03:00:00]
}
