package plugintest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// goodPlugin is a plugin as it should be, with the kinds that are asked for.
func goodPlugin(kinds string) *sdk.Plugin {
	all := map[string]sdk.Type{
		"application": sdk.Application("thing", thing{}),
		"build":       sdk.Build("thing", builder{}),
		"source":      sdk.Source("thing", seen{}),
		"image":       sdk.Image("thing", tagged{}),
		"policy":      sdk.Policy("thing", choice{}),

		"notification": sdk.Notification("thing", told{}),
	}
	var types []sdk.Type
	for k := range strings.SplitSeq(kinds, ",") {
		types = append(types, all[k])
	}
	return sdk.New("good", "1.2.3", types...)
}

// examplesOf are the examples of each kind.
var examplesOf = map[string]string{
	"application": `
test "application" "thing" {
  config  = { path = "a.txt", content = "one", parts = ["p", "q"], token = "a token of some length", note = { text = "a note" } }
  changed = { path = "a.txt", content = "two" }
  invalid = [{ path = "/etc/a", content = "" }, { path = "a", content = "", note = { text = "no notes" } }]
  slow    = { path = "b.txt", content = "slow", delay = "1m" }
  id      = "c.txt"
}`,
	"build": `
test "build" "thing" {
  config = { tag = "1.0" }
}`,
	"source": `
test "source" "thing" {
  config  = { text = "one" }
  changed = { text = "two" }
  invalid = { text = "" }
}`,
	"image": `
test "image" "thing" {
  config = { repository = "r/x" }
  tag    = "1.0.0"
}`,
	"notification": `
test "notification" "thing" {
  config  = { to = "people" }
  invalid = { to = "" }
}`,
	"policy": `
test "policy" "thing" {
  config  = { prefix = "1." }
  invalid = { prefix = "*" }
}`,
}

type thingConfig struct {
	Path    string            `davit:"path" doc:"File to write."`
	Content sdk.Value[string] `davit:"content" doc:"What to write."`
	Parts   []string          `davit:"parts,optional" doc:"Nothing."`
	Token   string            `davit:"token,optional,sensitive" doc:"A secret."`
	Delay   sdk.Duration      `davit:"delay,optional" default:"0s" doc:"How long an apply takes."`
	Note    *note             `davit:"note,block" doc:"A note."`
}

type note struct {
	Text   string `davit:"text" doc:"Any text."`
	Secret string `davit:"secret,optional,sensitive" doc:"A secret."`
}

type thingOutputs struct {
	sdk.ApplicationOutputs
	Sum  sdk.Value[string] `davit:"sum" doc:"Digest of the content."`
	Used sdk.Value[string] `davit:"used,sensitive" doc:"The token."`
}

type thing struct{}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (thing) Validate(_ context.Context, c thingConfig) error {
	var found sdk.Errors
	if filepath.IsAbs(c.Path) {
		found = append(found, sdk.Errorf(sdk.At("path"), "the path must be relative"))
	}
	if c.Note != nil && c.Note.Text == "no notes" {
		found = append(found, sdk.Errorf(sdk.At("note").Attribute("text"), "no notes"))
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

func file(ctx context.Context, path string) string {
	return filepath.Join(sdk.HostOf(ctx).StackDir, path)
}

func (thing) Plan(ctx context.Context, r sdk.PlanRequest[thingConfig, thingOutputs]) (sdk.PlanResult[thingOutputs], error) {
	res := sdk.PlanResult[thingOutputs]{Action: sdk.ActionNone, Private: []byte("planned")}
	if r.Destroy {
		res.Action = sdk.ActionDelete
		return res, nil
	}
	content, known := r.Config.Content.Get()
	res.Outputs.Health, res.Outputs.Sum = sdk.Known("Current"), sdk.Unknown[string]()
	if known {
		res.Outputs.Sum = sdk.Known(digest(content))
	}
	res.Outputs.Used = sdk.Known(r.Config.Token)
	anotherToken := r.Prior != nil && (r.Prior.Config.Token != r.Config.Token || r.Prior.Outputs.Used.OrZero() != r.Config.Token)
	live, err := os.ReadFile(file(ctx, r.Config.Path))
	switch {
	case errors.Is(err, os.ErrNotExist):
		res.Action = sdk.ActionCreate
	case err != nil:
		return res, err
	case !known || string(live) != content || anotherToken:
		res.Action = sdk.ActionUpdate
	default:
		return res, nil
	}
	res.Items = []sdk.Item{{Key: r.Config.Path, Kind: "file", Name: r.Config.Path, Action: res.Action, Fields: []sdk.Field{{Path: "content", After: content}}}}
	return res, nil
}

func (thing) Apply(ctx context.Context, r sdk.ApplyRequest[thingConfig, thingOutputs]) (sdk.Result[thingOutputs], error) {
	sdk.Log(ctx, "thing", "writing")
	content := r.Config.Content.OrZero()
	res := sdk.Result[thingOutputs]{Outputs: r.Planned}
	res.Outputs.Sum = sdk.Known(digest(content))
	if err := sdk.Save(ctx, res); err != nil {
		return res, err
	}
	select {
	case <-ctx.Done():
		return res, ctx.Err()
	case <-time.After(r.Config.Delay.Duration()):
	}
	return res, os.WriteFile(file(ctx, r.Config.Path), []byte(content), 0o600)
}

func (thing) Destroy(ctx context.Context, r sdk.DestroyRequest[thingConfig, thingOutputs]) error {
	if err := os.Remove(file(ctx, r.Config.Path)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (thing) Import(_ context.Context, r sdk.ImportRequest[thingConfig]) (sdk.Result[thingOutputs], error) {
	var res sdk.Result[thingOutputs]
	res.Outputs.Health, res.Outputs.Sum = sdk.Known("Current"), sdk.Known(digest(r.ID))
	return res, nil
}

type buildConfig struct {
	Tag string `davit:"tag" doc:"Tag to push under."`
}

// builder finds again what it has built by its record.
type builder struct{}

func (builder) Plan(_ context.Context, r sdk.PlanRequest[buildConfig, sdk.BuildOutputs]) (sdk.PlanResult[sdk.BuildOutputs], error) {
	switch {
	case r.Destroy:
		return sdk.PlanResult[sdk.BuildOutputs]{Action: sdk.ActionDelete}, nil
	case r.Prior != nil:
		return sdk.PlanResult[sdk.BuildOutputs]{Action: sdk.ActionNone, Outputs: r.Prior.Outputs}, nil
	}
	return sdk.PlanResult[sdk.BuildOutputs]{Action: sdk.ActionBuild, Outputs: sdk.BuildOutputs{
		Repository: "r/x", Tag: r.Config.Tag, Key: "k", Digest: sdk.Unknown[string](), Ref: sdk.UnknownPrefix("r/x:" + r.Config.Tag + "@sha256:"),
	}}, nil
}

func (builder) Apply(_ context.Context, r sdk.ApplyRequest[buildConfig, sdk.BuildOutputs]) (sdk.Result[sdk.BuildOutputs], error) {
	res := sdk.Result[sdk.BuildOutputs]{Outputs: r.Planned}
	d := "sha256:" + digest(r.Config.Tag)
	res.Outputs.Digest, res.Outputs.Ref = sdk.Known(d), sdk.Known("r/x:"+r.Config.Tag+"@"+d)
	return res, nil
}

func (builder) Destroy(context.Context, sdk.DestroyRequest[buildConfig, sdk.BuildOutputs]) error {
	return nil
}

type seenConfig struct {
	Text  string `davit:"text" doc:"What is seen."`
	Token string `davit:"token,optional,sensitive" doc:"A secret."`
}

type seen struct{}

func (seen) Observe(_ context.Context, r sdk.ObserveRequest[seenConfig, sdk.SourceOutputs]) (o sdk.SourceOutputs, err error) {
	c := r.Config
	if c.Text == "" {
		return o, sdk.Errorf(sdk.At("text"), "there is no text")
	}
	o.Revision = digest(c.Text)
	return o, nil
}

type taggedConfig struct {
	Repository string `davit:"repository" doc:"The repository."`
}

type tagged struct{}

func (tagged) Observe(_ context.Context, r sdk.ObserveRequest[taggedConfig, sdk.ImageOutputs]) (sdk.ImageOutputs, error) {
	return sdk.ImageOutputs{Repository: r.Config.Repository, Tags: []string{"1.0.0"}}, nil
}

func (tagged) Resolve(_ context.Context, r sdk.ResolveRequest[taggedConfig]) (sdk.Resolved, error) {
	tag := r.Tag
	if tag != "1.0.0" {
		return sdk.Resolved{}, errors.New("there is no tag " + tag)
	}
	return sdk.Resolved{Digest: "sha256:" + digest(tag)}, nil
}

type choiceConfig struct {
	Prefix string `davit:"prefix" doc:"How a tag begins."`
}

type choice struct{}

func (choice) Validate(_ context.Context, c choiceConfig) error {
	if strings.Contains(c.Prefix, "*") {
		return sdk.Errorf(sdk.At("prefix"), "a prefix has no *")
	}
	return nil
}

func (choice) Decide(_ context.Context, r sdk.DecideRequest[choiceConfig]) (d sdk.Decision, err error) {
	for _, tag := range r.Candidates.Tags {
		if strings.HasPrefix(tag, r.Config.Prefix) {
			d.Ranked = append(d.Ranked, tag)
		} else {
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: "it begins otherwise"})
		}
	}
	d.Reason = "the last in the alphabet"
	sortDescending(d.Ranked)
	return d, nil
}

// Watch hears nothing.
func (seen) Watch(ctx context.Context, _ sdk.WatchRequest[seenConfig, sdk.SourceOutputs], _ func(sdk.Notice)) error {
	<-ctx.Done()
	return ctx.Err()
}

type toldConfig struct {
	To    string `davit:"to" doc:"Whom to tell." min:"1"`
	Token string `davit:"token,optional,sensitive" doc:"A secret."`
}

type told struct{}

func (told) Notify(context.Context, toldConfig, sdk.Event) error { return nil }
