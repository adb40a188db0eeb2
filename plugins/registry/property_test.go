package registry

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/davit-sh/davit/sdk"
	"pgregory.net/rapid"
)

var anyTag = rapid.OneOf(
	rapid.StringMatching(`v?[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-(rc|beta)\.[0-9]{1,2})?`),
	rapid.StringMatching(`[0-9]{1,20}`),
	rapid.StringMatching(`main-[0-9a-f]{4}-[0-9]{1,4}`),
	rapid.StringMatching(`[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}`),
)

func anyCandidates(t *rapid.T) sdk.Candidates {
	c := sdk.Candidates{Tags: rapid.SliceOfN(anyTag, 0, 40).Draw(t, "tags")}
	if len(c.Tags) > 0 && rapid.Bool().Draw(t, "has a current tag") {
		c.Current = rapid.SampledFrom(c.Tags).Draw(t, "current")
	}
	return c
}

func anyOrder(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "asc", "desc"}).Draw(t, "order")
}

func anyPolicy(t *rapid.T) decider {
	filter := rapid.SampledFrom([]*filterConfig{
		nil, {Pattern: "^main-"}, {Pattern: `(\d+)$`, Extract: "$1"}, {Pattern: "nothing is like this"},
	}).Draw(t, "filter")
	switch rapid.SampledFrom([]string{"semver", "numerical", "alphabetical", "regex", "digest"}).Draw(t, "policy") {
	case "semver":
		return with(semverPolicy{}, semverConfig{
			Range:      rapid.SampledFrom([]string{"*", ">=1.0.0", "~2.1", "^3 || <1", ">=1.0.0-0"}).Draw(t, "range"),
			Prerelease: rapid.Bool().Draw(t, "prerelease"), Filter: filter,
		})
	case "numerical":
		return with(numericalPolicy{}, numericalConfig{Order: anyOrder(t), Filter: filter})
	case "alphabetical":
		return with(alphabeticalPolicy{}, alphabeticalConfig{Order: anyOrder(t), Filter: filter})
	case "regex":
		return with(regexPolicy{}, regexConfig{
			Pattern: `(\d+)`, Extract: rapid.SampledFrom([]string{"", "$1"}).Draw(t, "extract"),
			OrderBy: rapid.SampledFrom([]string{"", "semver", "numerical", "alphabetical"}).Draw(t, "order_by"), Order: anyOrder(t),
		})
	}
	return with(digestPolicy{}, digestConfig{Tag: "latest"})
}

func TestEveryCandidateIsEitherRankedOrRejectedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates := anyCandidates(t)
		d, err := anyPolicy(t)(context.Background(), candidates)
		if err != nil {
			t.Fatal(err)
		}
		answered := slices.Clone(d.Ranked)
		for _, r := range d.Rejected {
			if r.Reason == "" {
				t.Fatalf("%s is rejected without a reason", r.Tag)
			}
			answered = append(answered, r.Tag)
		}
		slices.Sort(answered)
		asked := slices.Compact(slices.Sorted(slices.Values(candidates.Tags)))
		if !slices.Equal(answered, asked) {
			t.Fatalf("asked for %q, answered %q", asked, answered)
		}
		if d.Reason == "" || (len(d.Ranked) > 0 && !strings.HasPrefix(d.Reason, d.Ranked[0]+" ")) {
			t.Fatalf("the reason %q does not tell why %q", d.Reason, d.Ranked)
		}
	})
}

func TestADecisionDoesNotDependOnTheOrderOfTheCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates, policy := anyCandidates(t), anyPolicy(t)
		a, err := policy(context.Background(), candidates)
		if err != nil {
			t.Fatal(err)
		}
		candidates.Tags = rapid.Permutation(candidates.Tags).Draw(t, "permutation")
		b, err := policy(context.Background(), candidates)
		if err != nil || show(a) != show(b) {
			t.Fatalf("%s\nand\n%s\n%v", show(a), show(b), err)
		}
	})
}

func TestRankedGoesFromTheHighestDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates := anyCandidates(t)
		versions, err := semverPolicy{}.Decide(context.Background(), sdk.DecideRequest[semverConfig]{Config: semverConfig{Range: "*", Prerelease: true}, Candidates: candidates})
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.IsSortedFunc(versions.Ranked, func(a, b string) int {
			return semver.MustParse(b).Compare(semver.MustParse(a))
		})
		order := anyOrder(t)
		numbers, err := numericalPolicy{}.Decide(context.Background(), sdk.DecideRequest[numericalConfig]{Config: numericalConfig{Order: order}, Candidates: candidates})
		if err != nil {
			t.Fatal(err)
		}
		sortedNumbers := slices.IsSortedFunc(numbers.Ranked, func(a, b string) int {
			x, _ := new(big.Rat).SetString(a)
			y, _ := new(big.Rat).SetString(b)
			if order == "desc" {
				return x.Cmp(y)
			}
			return y.Cmp(x)
		})
		if !sorted || !sortedNumbers {
			t.Fatalf("%v %v", versions.Ranked, numbers.Ranked)
		}
	})
}

func TestNothingInRangeIsRefusedAndNothingElseTaken(t *testing.T) {
	constraint, err := semver.NewConstraint(">=1.2.0 <200.0.0")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		candidates := anyCandidates(t)
		d, err := semverPolicy{}.Decide(context.Background(), sdk.DecideRequest[semverConfig]{Config: semverConfig{Range: ">=1.2.0 <200.0.0"}, Candidates: candidates})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range candidates.Tags {
			v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
			if want := err == nil && constraint.Check(v); want != slices.Contains(d.Ranked, tag) {
				t.Fatalf("%s is in range: %v", tag, want)
			}
		}
	})
}
