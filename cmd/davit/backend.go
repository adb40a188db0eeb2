package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

// initState sees to it that the state is where the stack says.
func (a *app) initState(ctx context.Context, stack *config.Stack, migrate, reconfigure bool) error {
	now, diags := session.BackendOf(stack)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	before, err := session.LastBackend(stack.Dir)
	if err != nil {
		return err
	}
	switch {
	case before == nil || bytes.Equal(before.Text(), now.Text()) || reconfigure:
		return now.Remember(stack.Dir)
	case !migrate:
		return session.ErrMoved(*before, now)
	}
	from, err := before.Open(ctx, stack.Dir)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := now.Open(ctx, stack.Dir)
	if err != nil {
		return err
	}
	defer to.Close()
	m, err := state.Migrate(ctx, from, to, state.Holder{Who: whoami(), PID: os.Getpid(), What: "davit init -migrate-state"})
	if err != nil {
		return fmt.Errorf("the state was not migrated and is still in %s: %w", before, err)
	}
	if err := now.Remember(stack.Dir); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "State copied to %s and compared: %s, %s, %s, %s.\n", now,
		text.Count(m.Records, "record"), text.Count(m.Revisions, "revision"), text.Count(m.Outputs, "output"), text.Count(m.Operations, "open operation"))
	for _, l := range m.LeftBehind {
		fmt.Fprintf(a.out, "Damaged, therefore not copied: %s\n", l)
	}
	fmt.Fprintf(a.out, "The state in %s was not changed.\n", before)
	return nil
}
