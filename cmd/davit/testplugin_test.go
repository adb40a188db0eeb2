package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// testPlugin is a plugin whose effects are files, and whose misbehaviour is configured.
func testPlugin() *sdk.Plugin {
	version := "1.2.0"
	if v := os.Getenv("TESTPLUGIN_VERSION"); v != "" {
		version = v
	}
	return sdk.New("test", version, sdk.Source("text", textSource{}), sdk.Source("read", readSource{}), sdk.Application("file", file{}), sdk.Application("memo", memo{}), sdk.Application("note", note{}), sdk.Notification("log", logged{}))
}

type logConfig struct {
	Path  string `davit:"path"`
	Text  string `davit:"text,optional"`
	Token string `davit:"token,optional,sensitive"`
	Fault string `davit:"fault,optional"`
}

// logged is a notification that is one file, a line for each event.
type logged struct{}

func (logged) Notify(ctx context.Context, c logConfig, e sdk.Event) error {
	name := filepath.Join(sdk.HostOf(ctx).StackDir, c.Path)
	switch c.Fault {
	case "fail":
		return errors.New("the line is dead for " + c.Token)
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	line := fmt.Sprintf("%s %s: %s [%s]", e.ID, e.Name, e.Summary, c.Text)
	for _, ch := range e.Changes {
		line += fmt.Sprintf(" %s=%s", ch.Address, ch.Outcome)
	}
	fmt.Fprintln(f, line) // in one go: another event may be told at the same time
	if c.Fault == "gate" {
		return barrier(ctx, name)
	}
	return nil
}

type textConfig struct {
	Text  string `davit:"text"`
	Fault string `davit:"fault,optional"`
}

type textOutputs struct {
	sdk.SourceOutputs
	Text string `davit:"text"`
}

// textSource is a source whose content is its argument.
type textSource struct{}

func (textSource) Observe(_ context.Context, r sdk.ObserveRequest[textConfig, textOutputs]) (textOutputs, error) {
	c := r.Config
	if c.Fault != "" {
		return textOutputs{}, errors.New(c.Fault)
	}
	sum := sha256.Sum256([]byte(c.Text))
	o := textOutputs{Text: c.Text}
	o.Revision = hex.EncodeToString(sum[:4])
	return o, nil
}

type readConfig struct {
	Path string `davit:"path"`
}

// readSource is a source that is one file.
type readSource struct{}

func (readSource) Observe(ctx context.Context, r sdk.ObserveRequest[readConfig, textOutputs]) (textOutputs, error) {
	b, err := os.ReadFile(filepath.Join(sdk.HostOf(ctx).StackDir, r.Config.Path))
	if err != nil {
		return textOutputs{}, err
	}
	o := textOutputs{Text: string(b)}
	o.Revision = sumOf(o.Text)
	return o, nil
}

type fileConfig struct {
	Path    string            `davit:"path"`
	Content sdk.Value[string] `davit:"content"`
	Secret  string            `davit:"secret,optional,sensitive"`
	Fault   string            `davit:"fault,optional" doc:"How to misbehave."`
}

type fileOutputs struct {
	sdk.ApplicationOutputs
	Sum sdk.Value[string] `davit:"sum"`
}

// file is an application that is one file.
type file struct{}

func path(ctx context.Context, c fileConfig) string {
	return filepath.Join(sdk.HostOf(ctx).StackDir, c.Path)
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

func (file) Plan(ctx context.Context, r sdk.PlanRequest[fileConfig, fileOutputs]) (sdk.PlanResult[fileOutputs], error) {
	applied := r.Config
	if r.Destroy && r.Prior != nil {
		applied = r.Prior.Config
	}
	if _, err := os.Stat(filepath.Join(sdk.HostOf(ctx).StackDir, "broken")); err == nil && applied.Fault == "while-broken" {
		return sdk.PlanResult[fileOutputs]{}, errors.New("the disk of " + applied.Path + " does not answer")
	}
	switch r.Config.Fault {
	case "plan-error":
		return sdk.PlanResult[fileOutputs]{}, &sdk.Error{Summary: "the disk is on fire", Detail: "All of it.", Hint: "Call the fire brigade.", Path: sdk.At("path"), Code: "test.fire"}
	case "plan-panic":
		panic("a bug in the plugin")
	case "plan-crash":
		fmt.Fprintln(os.Stderr, "fatal: the plugin gives up")
		os.Exit(7)
	case "plan-slow":
		time.Sleep(time.Second)
	case "plan-print":
		fmt.Println("this line must not break the protocol")
	}
	res := sdk.PlanResult[fileOutputs]{Action: sdk.ActionNone, Private: []byte("pinned")}
	if r.Destroy {
		res.Action = sdk.ActionDelete
		return res, nil
	}
	live, err := os.ReadFile(path(ctx, r.Config))
	content, known := r.Config.Content.Get()
	res.Outputs.Health = sdk.Known("Current")
	res.Outputs.Items = []string{r.Config.Path}
	res.Outputs.Sum = sdk.Unknown[string]()
	if known {
		res.Outputs.Sum = sdk.Known(sumOf(content))
	}
	field := sdk.Field{Path: "content", After: content, Unknown: !known, Prefix: r.Config.Content.Prefix()}
	if !known {
		field.After = nil
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		res.Action = sdk.ActionCreate
	case err != nil:
		return res, err
	case known && string(live) == content:
		return res, nil
	default:
		res.Action, field.Before = sdk.ActionUpdate, string(live)
	}
	res.Items = []sdk.Item{{Key: r.Config.Path, Kind: "file", Name: r.Config.Path, Action: res.Action, Fields: []sdk.Field{field}}}
	return res, nil
}

func (file) Apply(ctx context.Context, r sdk.ApplyRequest[fileConfig, fileOutputs]) (sdk.Result[fileOutputs], error) {
	sdk.Log(ctx, r.Config.Path, "writing with "+r.Config.Secret)
	res := sdk.Result[fileOutputs]{Outputs: r.Planned, Private: []byte("done")}
	content := r.Config.Content.OrZero()
	res.Outputs.Sum = sdk.Known(sumOf(content))
	switch r.Config.Fault {
	case "apply-error":
		return res, &sdk.Error{Summary: "it cannot be written", Hint: "Buy a larger disk."}
	case "apply-departs":
		res.Outputs.Sum = sdk.Known("another")
	case "apply-crash":
		if err := sdk.Save(ctx, res); err != nil {
			return res, err
		}
		os.Exit(7)
	case "apply-gate":
		if err := barrier(ctx, path(ctx, r.Config)); err != nil {
			return res, err
		}
	case "apply-unhealthy": // it is written, and never becomes healthy by itself
		if err := os.WriteFile(path(ctx, r.Config), []byte(content), 0o600); err != nil {
			return res, err
		}
		sdk.WaitForHealth(ctx)
		return res, barrier(ctx, path(ctx, r.Config))
	case "apply-slow":
		select {
		case <-time.After(30 * time.Second):
		case <-ctx.Done():
			return res, ctx.Err()
		}
	}
	return res, os.WriteFile(path(ctx, r.Config), []byte(content), 0o600)
}

// barrier tells that it has been reached, and waits until it is opened.
func barrier(ctx context.Context, path string) error {
	if err := os.WriteFile(path+".begun", nil, 0o600); err != nil {
		return err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if _, err := os.Stat(path + ".open"); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("nobody has opened the gate") // a script that has failed waits for us
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Import takes over a file that is there.
func (file) Import(ctx context.Context, r sdk.ImportRequest[fileConfig]) (sdk.Result[fileOutputs], error) {
	var res sdk.Result[fileOutputs]
	live, err := os.ReadFile(filepath.Join(sdk.HostOf(ctx).StackDir, r.ID))
	if errors.Is(err, os.ErrNotExist) {
		return res, &sdk.Error{Summary: "there is no file " + r.ID, Hint: "Name a file of the stack's folder."}
	}
	res.Outputs.Health, res.Outputs.Items, res.Outputs.Sum = sdk.Known("Current"), []string{r.ID}, sdk.Known(sumOf(string(live)))
	return res, err
}

func (file) Destroy(ctx context.Context, r sdk.DestroyRequest[fileConfig, fileOutputs]) error {
	err := os.Remove(path(ctx, r.Config))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
