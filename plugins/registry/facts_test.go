package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// decideWith asks a policy as davit does: again, with the facts that it wants. It returns the number of tags that were looked at.
func decideWith(t *testing.T, p decider, tags, current string, all map[string]sdk.Resolved) (sdk.Decision, int) {
	t.Helper()
	c := sdk.Candidates{Tags: strings.Fields(tags), Current: current, Facts: map[string]sdk.Resolved{}}
	for range 100 {
		d, err := p(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.LookAt) == 0 {
			return d, len(c.Facts)
		}
		for _, tag := range d.LookAt {
			if _, seen := c.Facts[tag]; seen || !slices.Contains(c.Tags, tag) {
				t.Fatalf("it looks at %s, which it has seen or which is not a candidate", tag)
			}
			c.Facts[tag] = all[tag]
		}
	}
	t.Fatal("it does not end")
	return sdk.Decision{}, 0
}

func holding(day int, platforms ...string) sdk.Resolved {
	return sdk.Resolved{Digest: "sha256:1", Platforms: platforms, Created: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)}
}

func TestPoliciesThatLookAtWhatTagsHold(t *testing.T) {
	arm := commonConfig{Platforms: []string{"linux/amd64", "linux/arm64"}}
	facts := map[string]sdk.Resolved{
		"1.0.0": holding(3, "linux/amd64", "linux/arm64/v8"), "1.1.0": holding(9, "linux/amd64", "linux/arm64"), "1.2.0": holding(5, "linux/amd64"),
		"1.3.0": {Digest: "sha256:1", Artifact: "Helm chart"}, "1.4.0": {Digest: "sha256:1", Platforms: []string{"linux/amd64"}},
	}
	tests := map[string]struct {
		policy  decider
		tags    string
		current string
		want    string
		looks   int
	}{
		"the best version with all platforms": {with(semverPolicy{}, semverConfig{commonConfig: arm}), "1.0.0 1.1.0 1.2.0 1.3.0 1.4.0", "",
			"1.1.0 1.0.0\n1.1.0 is the highest of 2 tags with a version for linux/amd64, linux/arm64; 3 were rejected\n1.4.0: no image for linux/arm64\n1.3.0: not an image (Helm chart)\n1.2.0: no image for linux/arm64\n", 5},
		"one look when the best has them": {with(semverPolicy{}, semverConfig{commonConfig: arm}), "1.0.0 1.1.0", "",
			"1.1.0 1.0.0\n1.1.0 is the highest of 2 tags with a version for linux/amd64, linux/arm64\n", 1},
		"none has them": {with(semverPolicy{}, semverConfig{commonConfig: commonConfig{Platforms: []string{"linux/riscv64"}}}), "1.0.0 1.1.0", "",
			"\nno acceptable tag with a version for linux/riscv64: 2 tags rejected\n1.1.0: no image for linux/riscv64\n1.0.0: no image for linux/riscv64\n", 2},
		"a withdrawn one keeps its place": {with(semverPolicy{}, semverConfig{commonConfig: arm}), "1.0.0 9.0.0", "9.0.0",
			"9.0.0 1.0.0\n9.0.0 is the highest of 2 tags with a version for linux/amd64, linux/arm64\n", 1},
		"the newest": {with(newestPolicy{}, newestConfig{}), "1.0.0 1.1.0 1.2.0 1.3.0 1.4.0", "",
			"1.1.0 1.2.0 1.0.0\n1.1.0 is the newest of 3 tags; 2 were rejected\n1.3.0: not an image (Helm chart)\n1.4.0: it does not say when it was created\n", 5},
		"the newest that matches": {with(newestPolicy{}, newestConfig{Filter: &filterConfig{Pattern: `^1\.[02]`}}), "1.0.0 1.1.0 1.2.0", "",
			"1.2.0 1.0.0\n1.2.0 is the newest of 2 tags matching ^1\\.[02]; 1 was rejected\n1.1.0: does not match ^1\\.[02]\n", 2},
		"the newest was withdrawn": {with(newestPolicy{}, newestConfig{}), "1.0.0 9.0.0", "9.0.0", "9.0.0 1.0.0\n9.0.0 is the newest of 2 tags\n", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, looks := decideWith(t, tt.policy, tt.tags, tt.current, facts)
			if got := show(d); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			if looks != tt.looks {
				t.Errorf("%d looks, want %d", looks, tt.looks)
			}
		})
	}
}
