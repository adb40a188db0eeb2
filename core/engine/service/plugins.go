package service

import (
	"context"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Plugins is where the engine finds the plugins, by name. They start on first use.
type Plugins interface {
	Client(ctx context.Context, name string) (Client, error)
}

// Client is a running plugin. All calls may be concurrent.
type Client interface {
	Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error)
	Plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error)
	Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error)
	Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error)
	Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error)
	Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error)
}
