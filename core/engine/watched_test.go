package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/sdk"
)

// Watch implements sdk.Watcher: the test's world tells of nothing by itself.
func (source) Watch(ctx context.Context, _ sdk.WatchRequest[srcConfig, srcOutputs], _ func(sdk.Notice)) error {
	<-ctx.Done()
	return ctx.Err()
}

// Watch implements sdk.Watcher.
func (app) Watch(ctx context.Context, _ sdk.WatchRequest[appConfig, appOutputs], _ func(sdk.Notice)) error {
	<-ctx.Done()
	return ctx.Err()
}

const watchedStack = `
variable "password" {
  sensitive = true
  default   = "hunter2"
}
source "s" "one" { text = "here" }
image "i" "two" { repository = "r.example.com/two" }
policy "p" "three" { image = image.i.two }
application "a" "old" {
  name    = "old"
  content = source.s.one.revision
  secret  = var.password
}
`

// What is watched has its wholly known arguments, with secrets, and what was seen last; what is not in state is not watched.
func TestWatched(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"1": sum("1")}
	f.apply(watchedStack)
	text := watchedStack + `
application "a" "new" { name = "new" }
application "a" "waits" { name = application.a.new.sum }
`
	e, diags := f.engine(text)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	warm := engine.NewWarm(e, engine.Options{})
	if list := warm.Watched(t.Context()); list != nil {
		t.Errorf("before a plan: %v", list)
	}
	list := func() []string {
		var lines []string
		for _, w := range warm.Watched(t.Context()) {
			seen := string(w.Prior.GetOutputs().GetMsgpack())
			line := fmt.Sprintf("%s %s %v", w.Address, w.Plugin, w.CanWatch)
			for _, text := range []string{"here", "hunter2"} {
				if strings.Contains(string(w.Config.GetMsgpack()), text) {
					line += " with " + text
				}
			}
			for _, text := range []string{"r1", "r2", "old"} {
				if strings.Contains(seen+string(w.Prior.GetOutputs().GetJson()), text) {
					line += ", saw " + text
				}
			}
			if len(w.Texts) > 0 {
				line += fmt.Sprintf(", reads %s", w.Texts)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		return lines
	}
	f.world.revision = "r1"
	if _, _, diags := warm.Plan(t.Context(), engine.Changed{Snapshot: f.snapshot()}); diags.HasErrors() {
		t.Fatal(diags)
	}
	want := []string{"application.a.old test true with hunter2, saw old", "image.i.two test false, reads [r.example.com/two]", "source.s.one test true with here, saw r1, reads [here]"}
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Error(diff)
	}
	f.world.revision = "r2"
	if _, _, diags := warm.Plan(t.Context(), engine.Changed{Instances: instancesOf(t, "source.s.one")}); diags.HasErrors() {
		t.Fatal(diags)
	}
	want[2] = "source.s.one test true with here, saw r2, reads [here]"
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Error(diff)
	}
}

func instancesOf(t *testing.T, names ...string) []addr.Instance {
	t.Helper()
	var list []addr.Instance
	for _, n := range names {
		a, err := addr.Parse(n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a)
	}
	return list
}
