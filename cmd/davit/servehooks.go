package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/server/hooks"
)

// hookFlags are the flags of serve about webhooks.
type hookFlags struct {
	declared  []string
	listen    string
	forwarded bool
}

func (f *hookFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.declared, "hook", nil, "a webhook at /hooks/ID, as `ID=TYPE:env:NAME` or ID=TYPE:file:PATH, which say where its secret is; TYPE is one of "+strings.Join(hooks.Types(), ", "))
	cmd.Flags().StringVar(&f.listen, "hook-listen", "", "`HOST:PORT` of the webhooks; with -tls-cert by TLS (default: the address of the API, if it has one)")
	cmd.Flags().BoolVar(&f.forwarded, "hook-forwarded", false, "a proxy in front of the webhooks writes the caller's address at the end of X-Forwarded-For")
}

// handler makes the handler of the webhooks, nil if there are none.
func (f *hookFlags) handler(loop *reconcile.Loop, log *slog.Logger, getenv func(string) string) (*hooks.Handler, error) {
	list, err := hooks.ParseAll(f.declared, getenv)
	if err != nil {
		return nil, fmt.Errorf("-hook: %w", err)
	}
	if len(list) == 0 {
		if f.listen != "" {
			return nil, errors.New("-hook-listen needs a -hook")
		}
		return nil, nil
	}
	return hooks.New(hooks.Options{Hooks: list, Log: log, Forwarded: f.forwarded, Found: loop.Hint}), nil
}

// serve serves the webhooks at an address of their own, until the context ends. The channel has the error at the end; it is nil when there is
// no such address.
func (f *hookFlags) serve(ctx context.Context, h *hooks.Handler, secure *tls.Config) (<-chan error, error) {
	if h == nil || f.listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("-hook-listen: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, l, secure) }()
	return done, nil
}
