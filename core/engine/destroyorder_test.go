package engine_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state/statetest"
)

// grownBlock is an application of a random stack that a destroy is made of.
type grownBlock struct {
	keys []string       // nil: without for_each
	deps map[int]string // blocks before it, and how it depends on them: "depends_on", "reference", "local"
	gone bool
}

// grownStack is a random stack whose values never change: only what depends on what.
type grownStack []grownBlock

func newGrownStack(r *rand.Rand) grownStack {
	s := make(grownStack, 3+r.IntN(5))
	for i := range s {
		s[i].deps = map[int]string{}
		if r.IntN(2) == 0 {
			s[i].keys = []string{"p"}
		}
		s.connect(r, i)
	}
	return s
}

// connect lets a block depend on more blocks.
func (s grownStack) connect(r *rand.Rand, i int) {
	for j := range i {
		if r.IntN(5) == 0 && !s[j].gone && s[i].deps[j] == "" {
			s[i].deps[j] = []string{"depends_on", "reference", "local"}[r.IntN(3)]
		}
	}
}

// grow returns the stack with more dependencies and instances, and at times without a block.
func (s grownStack) grow(r *rand.Rand) grownStack {
	n := make(grownStack, len(s))
	for i, b := range s {
		n[i] = grownBlock{keys: slices.Clone(b.keys), deps: maps.Clone(b.deps), gone: r.IntN(10) == 0}
		if n[i].gone {
			continue
		}
		maps.DeleteFunc(n[i].deps, func(j int, _ string) bool { return n[j].gone })
		if b.keys != nil && r.IntN(2) == 0 {
			n[i].keys = append(n[i].keys, "q")
		}
		n.connect(r, i)
	}
	return n
}

func (s grownStack) text() string {
	var out strings.Builder
	for i, b := range s {
		if b.gone {
			continue
		}
		name, content, order := fmt.Sprintf(`"n%d"`, i), `"c"`, ""
		fmt.Fprintf(&out, "application \"a\" \"n%d\" {\n", i)
		if b.keys != nil {
			fmt.Fprintf(&out, "  for_each = toset([\"%s\"])\n", strings.Join(b.keys, `", "`))
			name = fmt.Sprintf(`"n%d-${each.key}"`, i)
		}
		locals := ""
		for _, j := range slices.Sorted(maps.Keys(b.deps)) {
			whole := fmt.Sprintf("application.a.n%d", j)
			switch b.deps[j] {
			case "depends_on":
				order += whole + ", "
			case "reference":
				content = fmt.Sprintf("length(%s) > 0 ? %s : \"\"", whole, content)
			case "local":
				content = fmt.Sprintf("local.l%d_%d ? %s : \"\"", i, j, content)
				locals += fmt.Sprintf("locals { l%d_%d = length(%s) > 0 }\n", i, j, whole)
			}
		}
		fmt.Fprintf(&out, "  name = %s\n  content = %s\n  depends_on = [%s]\n}\n%s", name, content, order, locals)
	}
	return out.String()
}

// reach returns the blocks that can be reached from one by dependencies of either stack: what it stands on, or what stands on it.
func reach(from int, up bool, stacks ...grownStack) map[int]bool {
	out := map[int]bool{}
	var visit func(i int)
	visit = func(i int) {
		if out[i] {
			return
		}
		out[i] = true
		for _, s := range stacks {
			for y, b := range s {
				for x := range b.deps {
					if up && y == i {
						visit(x)
					}
					if !up && x == i {
						visit(y)
					}
				}
			}
		}
	}
	visit(from)
	return out
}

// TestRandomDestroys: a stack grows dependencies that change no value. A destroy of it, of a part or of the rest deletes what the model
// says, and what stands on something before that.
func TestRandomDestroys(t *testing.T) {
	const rounds = 436
	wrong, deletions := 0, 0
	for round := range rounds {
		r := rand.New(rand.NewPCG(436, uint64(round)))
		f := newFixture(t)
		before := newGrownStack(r)
		f.apply(before.text())
		now, recorded := before.grow(r), before
		stacks := []grownStack{before, now}
		if r.IntN(2) == 0 { // otherwise the destroy finds the records as they were
			f.apply(now.text())
			recorded, stacks = now, []grownStack{now}
		}
		chosen := r.IntN(len(now))
		opts := engine.Options{Mode: plan.ModeDestroy}
		doomed := map[int]bool{}
		for i := range recorded {
			doomed[i] = !recorded[i].gone
		}
		how := []string{"plain", "-target", "-exclude"}[r.IntN(3)]
		if recorded[chosen].gone {
			how = "plain"
		}
		at := place(t, fmt.Sprintf("application.a.n%d", chosen))
		if recorded[chosen].keys != nil {
			at = place(t, fmt.Sprintf("application.a.n%d[\"p\"]", chosen))
			if len(recorded[chosen].keys) > 1 {
				how = "plain" // a part of a block
			}
		}
		switch how {
		case "-target":
			opts.Targets = at
			with := reach(chosen, false, stacks...)
			maps.DeleteFunc(doomed, func(i int, _ bool) bool { return !with[i] })
		case "-exclude":
			opts.Excludes = at
			kept := reach(chosen, true, stacks...)
			maps.DeleteFunc(doomed, func(i int, _ bool) bool { return kept[i] })
		}
		p, diags := f.planWith(now.text(), opts)
		if diags.HasErrors() {
			t.Fatalf("round %d: %s", round, diags)
		}
		f.world.applied = nil
		if _, diags := f.tryApply(now.text(), p, true); diags.HasErrors() {
			t.Fatalf("round %d: %s", round, diags)
		}
		faults := wrongDeletions(p, f.world.applied, recorded, doomed, stacks)
		deletions += len(f.world.applied)
		if len(faults) > 0 {
			wrong++
			t.Errorf("round %d, destroy %s n%d: %s\nbefore:\n%s\nnow:\n%s", round, how, chosen, strings.Join(faults, "; "), before.text(), now.text())
		}
	}
	statetest.Numbers(t, "destroys of random stacks: %d rounds, %d deletions, %d wrong orders", rounds, deletions, wrong)
}

// wrongDeletions compares what was deleted with the model.
func wrongDeletions(p *plan.Plan, done []string, recorded grownStack, doomed map[int]bool, stacks []grownStack) (faults []string) {
	blockAt := func(address string) (i int) {
		_, _ = fmt.Sscanf(strings.TrimPrefix(address, "delete "), "application.a.n%d", &i)
		return i
	}
	want := 0
	for i := range doomed {
		if doomed[i] {
			want += max(1, len(recorded[i].keys))
		}
	}
	if len(done) != want || len(p.Steps) != want {
		faults = append(faults, fmt.Sprintf("%d deletions and %d steps, want %d: %v", len(done), len(p.Steps), want, done))
	}
	waits := map[string][]string{}
	for _, s := range p.Steps {
		waits[s.ID] = s.WaitsFor
	}
	waitsFor := func(from, to string) bool {
		seen := map[string]bool{}
		var visit func(id string) bool
		visit = func(id string) bool {
			if seen[id] {
				return false
			}
			seen[id] = true
			return id == to || slices.ContainsFunc(waits[id], visit)
		}
		return visit(from)
	}
	for k, x := range done {
		if !doomed[blockAt(x)] {
			faults = append(faults, x+", which is to stay")
		}
		above := reach(blockAt(x), false, stacks...)
		for _, y := range done[k+1:] {
			if blockAt(y) != blockAt(x) && above[blockAt(y)] {
				faults = append(faults, fmt.Sprintf("%s before %s, which stands on it", x, y))
			}
		}
		for _, y := range done {
			if blockAt(y) != blockAt(x) && above[blockAt(y)] && !waitsFor(x, y) {
				faults = append(faults, fmt.Sprintf("%s does not wait for %s, which stands on it", x, y))
			}
		}
	}
	return faults
}
