package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/davit-sh/davit/sdk"
)

// leak is an application that repeats its secrets wherever a plugin can say something, and notes in a file what davit
// tells it besides its configuration.
type leak struct{}

type leakConfig struct {
	Key   string `davit:"key,sensitive" doc:"A secret."`
	Text  string `davit:"text"`
	Fault bool   `davit:"fault,optional" doc:"Fail, and repeat the secret."`
}

type leakOutputs struct {
	sdk.ApplicationOutputs
	Token sdk.Value[string] `davit:"token,sensitive"`
	Plain sdk.Value[string] `davit:"plain"`
}

// everyForm is a secret in all forms in which it may be written.
func everyForm(secret string) map[string]string {
	text, _ := json.Marshal(secret)
	return map[string]string{
		"plain": secret, "JSON": string(text[1 : len(text)-1]), "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "hex": hex.EncodeToString([]byte(secret)),
		"base64": base64.RawStdEncoding.EncodeToString([]byte(secret)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

func captured(ctx context.Context, what any) {
	text, _ := json.Marshal(what)
	f, err := os.OpenFile(filepath.Join(sdk.HostOf(ctx).StackDir, "captured"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, _ = fmt.Fprintf(f, "%s\n", text)
		_ = f.Close()
	}
}

// earlier is what the plugin is told of before, without the secret that it is told of now: that has not changed.
func earlier(prior *sdk.Record[leakConfig, leakOutputs], now leakConfig) *sdk.Record[leakConfig, leakOutputs] {
	if prior == nil || prior.Config.Key != now.Key {
		return prior
	}
	out := *prior
	out.Config.Key = ""
	return &out
}

func (leak) outputs(c leakConfig, token sdk.Value[string]) leakOutputs {
	o := leakOutputs{Token: token, Plain: sdk.Known("it has " + c.Key)}
	o.Health = sdk.Known("Current")
	return o
}

func (l leak) Plan(ctx context.Context, r sdk.PlanRequest[leakConfig, leakOutputs]) (sdk.PlanResult[leakOutputs], error) {
	captured(ctx, []any{earlier(r.Prior, r.Config), string(r.Private), os.Environ(), os.Args})
	res := sdk.PlanResult[leakOutputs]{Action: sdk.ActionNone, Outputs: l.outputs(r.Config, sdk.Unknown[string]())}
	if r.Destroy {
		return sdk.PlanResult[leakOutputs]{Action: sdk.ActionDelete}, nil
	}
	b, err := os.ReadFile(filepath.Join(sdk.HostOf(ctx).StackDir, "leak"))
	if err == nil && string(b) == r.Config.Text && !r.Config.Fault && r.Prior != nil {
		res.Outputs.Token = sdk.Known(r.Prior.Outputs.Token.OrZero())
		return res, nil
	}
	res.Action = sdk.ActionUpdate
	for how, form := range everyForm(r.Config.Key) {
		res.Reasons = append(res.Reasons, how+" is "+form)
		res.Items = append(res.Items, sdk.Item{Key: how, Kind: "Leak", Name: how + " " + form, Action: sdk.ActionUpdate, Note: "note of " + form,
			Fields: []sdk.Field{{Path: "field", Before: form + " before", After: map[string]any{"deep": []any{form}}}}})
	}
	return res, nil
}

func (l leak) Apply(ctx context.Context, r sdk.ApplyRequest[leakConfig, leakOutputs]) (sdk.Result[leakOutputs], error) {
	captured(ctx, []any{earlier(r.Prior, r.Config), string(r.Private), r.Planned.Token.OrZero()})
	res := sdk.Result[leakOutputs]{Outputs: l.outputs(r.Config, sdk.Known("made-of-"+r.Config.Key))}
	for how, form := range everyForm(r.Config.Key) {
		sdk.Log(ctx, how, "log of "+form)
		sdk.Progress(ctx, "progress of "+form, 1, 2)
		sdk.ItemStatus(ctx, how, "InProgress", "status of "+form)
		fmt.Println("stdout " + form)
		fmt.Fprintln(os.Stderr, "stderr "+form)
	}
	if err := sdk.Save(ctx, res); err != nil {
		return res, err
	}
	if r.Config.Fault {
		return res, &sdk.Error{Summary: "refused " + r.Config.Key, Detail: fmt.Sprintf("%q of %v", r.Config.Key, everyForm(r.Config.Key)), Hint: "use another than " + r.Config.Key}
	}
	return res, os.WriteFile(filepath.Join(sdk.HostOf(ctx).StackDir, "leak"), []byte(r.Config.Text), 0o600)
}

func (leak) Destroy(ctx context.Context, r sdk.DestroyRequest[leakConfig, leakOutputs]) error {
	captured(ctx, []any{r.Config, r.Prior, string(r.Private)})
	return os.Remove(filepath.Join(sdk.HostOf(ctx).StackDir, "leak"))
}
