package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/davit-sh/davit/sdk"
)

type memoConfig struct {
	Text  string            `davit:"text"`
	After sdk.Value[string] `davit:"after,optional" doc:"What it is made after."`
}

type memoOutputs struct {
	sdk.ApplicationOutputs
	Text sdk.Value[string] `davit:"text"`
}

// memo is an application that nobody can look at: what it is, only state knows. Each try to make it is a line in the file
// "tries"; while there is a file "crash" the plugin dies in it, when as many are tried at once as it says.
type memo struct{}

var memoTries atomic.Int64

func (memo) Plan(_ context.Context, r sdk.PlanRequest[memoConfig, memoOutputs]) (sdk.PlanResult[memoOutputs], error) {
	res := sdk.PlanResult[memoOutputs]{Action: sdk.ActionNone}
	if r.Destroy {
		res.Action = sdk.ActionDelete
		return res, nil
	}
	res.Outputs.Health, res.Outputs.Text = sdk.Known("Current"), sdk.Known(r.Config.Text)
	switch {
	case r.Prior == nil:
		res.Action = sdk.ActionCreate
	case r.Prior.Outputs.Text.OrZero() != r.Config.Text:
		res.Action, res.Reasons = sdk.ActionUpdate, []string{"the text changes"}
	}
	return res, nil
}

func (memo) Apply(ctx context.Context, r sdk.ApplyRequest[memoConfig, memoOutputs]) (sdk.Result[memoOutputs], error) {
	dir := sdk.HostOf(ctx).StackDir
	f, err := os.OpenFile(filepath.Join(dir, "tries"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return sdk.Result[memoOutputs]{}, err
	}
	fmt.Fprintf(f, "%s %s %s\n", r.Address, r.Config.Text, r.Operation)
	tries := memoTries.Add(1)
	if crash, err := os.ReadFile(filepath.Join(dir, "crash")); err == nil {
		if tries == max(1, int64(bytes.Count(crash, []byte("try")))) {
			os.Exit(7)
		}
		<-ctx.Done()
	}
	return sdk.Result[memoOutputs]{Outputs: r.Planned}, f.Close()
}

func (memo) Destroy(context.Context, sdk.DestroyRequest[memoConfig, memoOutputs]) error { return nil }
