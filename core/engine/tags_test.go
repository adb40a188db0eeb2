package engine_test

import (
	"slices"
	"strings"
	"testing"
)

const twoPolicies = `
image "i" "x" { repository = "r" }
policy "p" "x" { image = image.i.x }
policy "p" "y" { image = image.i.x }
application "a" "x" {
  name    = "x"
  content = policy.p.x.tag
}
application "a" "y" {
  name    = "y"
  content = policy.p.y.tag
}
output "refused" { value = [for r in policy.p.x.rejected : "${r.tag}: ${r.reason}"] }
`

// What is not an image is not chosen, and names that no registry takes do not hide the others.
func TestOnlyImagesAreChosen(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"1.0": "sha256:a", "1.1": "sha256:b", "1.2": "sha256:c", "1.1.0+build": "sha256:d", "": "sha256:e", strings.Repeat("a", 129): "sha256:f"}
	f.world.holds = map[string]string{"1.1": "signature", "1.2": "Helm chart"}
	p := f.plan(twoPolicies)
	f.apply(twoPolicies)
	if got := f.world.things["x"]; got != "1.0" {
		t.Errorf("it chose %q", got)
	}
	refused := string(p.Outputs[0].Value)
	for _, want := range []string{"1.2: not an image (Helm chart)", "1.1: not an image (signature)", "1.1.0+build: not a tag", `": not a tag"`} {
		if !strings.Contains(refused, want) {
			t.Errorf("%s lacks %q", refused, want)
		}
	}
	f.world.holds = nil
	f.apply(twoPolicies)
	if got := f.world.things["x"]; got != "1.2" {
		t.Errorf("it chose %q when all are images", got)
	}
}

// A tag is looked at once in a plan, whichever policies choose it; as long as it holds what it held, its digest is all that is asked for.
func TestATagIsLookedAtOnce(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"1.0": "sha256:a"}
	f.apply(twoPolicies)
	f.world.looks = nil
	f.plan(twoPolicies)
	if !slices.Equal(f.world.looks, []string{"1.0 1"}) {
		t.Errorf("looked at %q", f.world.looks)
	}
	f.world.tags["1.0"], f.world.looks = "sha256:b", nil
	f.plan(twoPolicies)
	if !slices.Equal(f.world.looks, []string{"1.0 1", "1.0 2"}) {
		t.Errorf("after it was moved, looked at %q", f.world.looks)
	}
}

// A policy is given the facts that it asks for. One that was chosen before and is gone has none, and no older one takes its place.
func TestAPolicyAsksForWhatTagsHold(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"l1": "sha256:a", "l2": "sha256:b"}
	f.apply(twoPolicies)
	if got := f.world.things["x"]; got != "l2" {
		t.Errorf("it chose %q", got)
	}
	slices.Sort(f.world.looks)
	if got := slices.Compact(f.world.looks); !slices.Contains(got, "l1 0") || !slices.Contains(got, "l2 0") {
		t.Errorf("looked at %q", got)
	}
}
