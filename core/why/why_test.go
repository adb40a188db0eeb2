package why_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/why"
	"github.com/davit-sh/davit/state"
)

func inputs(t *testing.T, list ...plan.Observation) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each instance is explained by what it was made from, though others were made from something newer since.
func TestEachIsExplainedByItsOwnRevision(t *testing.T) {
	source := func(commit string) plan.Observation {
		return plan.Observation{Address: "source.git.repo", Kind: "source", Items: []plan.Item{{Kind: "commit", Name: commit}}}
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	history := map[string][]state.Revision{
		"build.oci.a":             {{Number: 1, Action: "build", At: at, From: []string{"source.git.repo"}, Inputs: inputs(t, source("first"))}},
		"application.manifests.b": {{Number: 2, Action: "update", At: at.Add(time.Hour), From: []string{"source.git.repo", "build.oci.a"}, Inputs: inputs(t, source("second"))}},
	}
	facts := &why.Applied{Snapshot: &state.Snapshot{}, History: func(address string) ([]state.Revision, error) {
		if address != "" {
			return history[address], nil
		}
		return append(history["build.oci.a"], history["application.manifests.b"]...), nil
	}}
	c, err := why.Explain(facts, "application.manifests.b")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.From[0].Items[0].Name; got != "second" {
		t.Errorf("the application was made from %s", got)
	}
	if got := c.From[1].From[0]; got.Again || got.Items[0].Name != "first" {
		t.Errorf("the build was made from %+v", got)
	}
	if c, err = why.Explain(facts, "source.git.repo"); err != nil || c.Items[0].Name != "second" {
		t.Errorf("the source itself is explained by %+v, %v", c, err)
	}
	if _, err := why.Explain(facts, "build.oci.nothing"); err == nil {
		t.Error("something that is not there is explained")
	}
}

// What others were made from since is not what an instance was made from; one that went back was made from what it was made
// from then.
func TestRevisionsAreExplainedByThoseOfTheirTime(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC) }
	held := state.Record{Hold: &state.Hold{Revision: 1}}
	history := map[string][]state.Revision{
		"build.oci.a": {{Number: 3, At: at(5)}, {Number: 2, At: at(3)}, {Number: 1, At: at(1)}},
		"application.manifests.x": {
			{Number: 3, At: at(6), From: []string{"build.oci.a"}, Record: held},
			{Number: 2, At: at(4), From: []string{"build.oci.a"}},
			{Number: 1, At: at(2), From: []string{"build.oci.a"}},
		},
		"application.manifests.y": {{Number: 1, At: at(4), From: []string{"build.oci.a"}}},
		"application.manifests.z": {{Number: 9, At: at(0), From: []string{"build.oci.a"}}},
	}
	facts := &why.Applied{Snapshot: &state.Snapshot{}, History: func(address string) ([]state.Revision, error) { return history[address], nil }}
	for address, want := range map[string]uint64{"application.manifests.x": 1, "application.manifests.y": 2, "application.manifests.z": 0} {
		c, err := why.Explain(facts, address)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.From[0]; got.Revision != want || (want == 0) != (got.Note != "") {
			t.Errorf("%s was made from %+v, want revision %d", address, got, want)
		}
	}
}

func TestAPlannedDeletionIsNotMadeFromWhatItWaitsFor(t *testing.T) {
	p := &plan.Plan{Changes: []plan.Change{{Address: "build.oci.a", Kind: "build", Action: plan.Delete, DependsOn: []string{"build.oci.b"}}, {Address: "build.oci.b", Kind: "build", Action: plan.Delete}}}
	c, err := why.Explain(why.Planned{Plan: p}, "build.oci.a")
	if err != nil || len(c.From) != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}
