package main

import (
	"context"
	"maps"
	"slices"

	"github.com/davit-sh/davit/sdk"
)

type noteConfig struct {
	Input  sdk.Value[string] `davit:"input,optional"`
	Labels map[string]string `davit:"labels,optional"`
	List   []string          `davit:"list,optional"`
	Secret string            `davit:"secret,optional,sensitive"`
	Login  *noteLogin        `davit:"login,block"`
	Entry  []noteEntry       `davit:"entry,block"`
	Rules  []noteRule        `davit:"rule,block"`
	Old    string            `davit:"old,optional" deprecated:"Use input."`
}

type noteLogin struct {
	Name     string `davit:"name"`
	Password string `davit:"password,sensitive"`
}

type noteEntry struct {
	Name  string `davit:"name"`
	Token string `davit:"token,optional,sensitive"`
}

type noteRule struct {
	Name string   `davit:"name" pattern:"^[a-z]+$"`
	Old  string   `davit:"old,optional" deprecated:"Use name."`
	Most *noteMax `davit:"most,block"`
}

type noteMax struct {
	Sizes []int `davit:"sizes,optional" max:"2"`
}

type noteOutputs struct {
	sdk.ApplicationOutputs
	Output sdk.Value[string] `davit:"output"`
}

// note is an application that is nothing but what state has of it, and whose plan has no items.
type note struct{}

func (note) Plan(_ context.Context, r sdk.PlanRequest[noteConfig, noteOutputs]) (sdk.PlanResult[noteOutputs], error) {
	res := sdk.PlanResult[noteOutputs]{Action: sdk.ActionNone}
	if r.Destroy {
		res.Action = sdk.ActionDelete
		return res, nil
	}
	res.Outputs.Health, res.Outputs.Output = sdk.Known("Current"), r.Config.Input
	switch {
	case r.Prior == nil:
		res.Action = sdk.ActionCreate
	case r.Config.Input.IsUnknown(), r.Config.Input != r.Prior.Outputs.Output, r.Config.Secret != r.Prior.Config.Secret,
		(r.Config.Login != nil) != (r.Prior.Config.Login != nil), r.Config.Login != nil && *r.Config.Login != *r.Prior.Config.Login,
		!maps.Equal(r.Config.Labels, r.Prior.Config.Labels), !slices.Equal(r.Config.List, r.Prior.Config.List),
		!slices.Equal(r.Config.Entry, r.Prior.Config.Entry):
		res.Action = sdk.ActionUpdate
	}
	return res, nil
}

func (note) Apply(_ context.Context, r sdk.ApplyRequest[noteConfig, noteOutputs]) (sdk.Result[noteOutputs], error) {
	r.Planned.Output = r.Config.Input
	return sdk.Result[noteOutputs]{Outputs: r.Planned}, nil
}

func (note) Destroy(context.Context, sdk.DestroyRequest[noteConfig, noteOutputs]) error { return nil }
