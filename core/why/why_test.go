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

func TestAPlannedDeletionIsNotMadeFromWhatItWaitsFor(t *testing.T) {
	p := &plan.Plan{Changes: []plan.Change{{Address: "build.oci.a", Kind: "build", Action: plan.Delete, DependsOn: []string{"build.oci.b"}}, {Address: "build.oci.b", Kind: "build", Action: plan.Delete}}}
	c, err := why.Explain(why.Planned{Plan: p}, "build.oci.a")
	if err != nil || len(c.From) != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}
