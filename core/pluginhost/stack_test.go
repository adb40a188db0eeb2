package pluginhost

import (
	"context"
	"testing"
)

// The lineage is made while an apply runs: plugins that run then are told.
func TestRunningPluginsAreToldTheLineage(t *testing.T) {
	h := newHost(t, func(o *Options) { o.StackName = "shop" }, "many-stacks", "good")
	client := func(name string) *Client {
		t.Helper()
		c, err := h.Client(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := planned(t, client("many-stacks"), "identified:"); got != "shop " {
		t.Errorf("at first it knows %q", got)
	}
	client("good")
	if err := h.SetLineage(t.Context(), "1f2e"); err != nil {
		t.Fatal(err)
	}
	if got := planned(t, client("many-stacks"), "identified:"); got != "shop 1f2e" {
		t.Errorf("after the first commit it knows %q", got)
	}
	// A plugin that knows one stack only is configured once, as it was promised.
	if got := planned(t, client("good"), "identified:"); got != "shop " {
		t.Errorf("a plugin of one stack knows %q", got)
	}
}
