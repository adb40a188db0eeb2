package pluginhost

import (
	"context"
	"errors"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// SetLineage tells the plugins the lineage of the stack's state: those that start later, and those that run. Before the first
// commit a state has none. A plugin that cannot be configured again, as those before many_stacks, is left as it is. SetLineage
// returns when the plugins know.
func (h *Host) SetLineage(ctx context.Context, lineage string) error {
	h.telling.Lock()
	defer h.telling.Unlock()
	h.mu.Lock()
	changed := h.lineage != lineage
	h.lineage = lineage
	slots := make([]*slot, 0, len(h.slots))
	for _, s := range h.slots {
		slots = append(slots, s)
	}
	h.mu.Unlock()
	if !changed {
		return nil
	}
	var errs []error
	for _, s := range slots {
		select {
		case <-s.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if s.err == nil {
			errs = append(errs, s.client.configureAgain(ctx, lineage))
		}
	}
	return errors.Join(errs...)
}

// configureAgain sends the lineage to a running plugin that accepts a second Configure.
func (c *Client) configureAgain(ctx context.Context, lineage string) error {
	if _, ended := c.process.ended(); ended || c.told() == lineage {
		return nil
	}
	d, err := c.Describe(ctx)
	if err != nil || !d.GetManyStacks() {
		return err
	}
	const doing = "configuring it"
	return c.failed(ctx, doing, c.configure(ctx))
}

// told returns the lineage that the plugin was configured with.
func (c *Client) told() string {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	return c.lineage
}

// configure sends the stack and its lineage to the plugin.
func (c *Client) configure(ctx context.Context) error {
	c.host.mu.Lock()
	c.lineage = c.host.lineage
	o, lineage := c.host.options, c.lineage
	c.host.mu.Unlock()
	return c.send(ctx, &pluginv1.ConfigureRequest{
		HostVersion: o.Version, CacheDir: o.CacheDir, StackDir: o.StackDir, StackName: o.StackName, Lineage: lineage,
		Credentials: o.Credentials[c.name],
	})
}

// send sends one Configure request.
func (c *Client) send(ctx context.Context, r *pluginv1.ConfigureRequest) error {
	res, err := c.rpc.Configure(ctx, r)
	if err != nil {
		return err
	}
	return configured(res.GetDiagnostics())
}
