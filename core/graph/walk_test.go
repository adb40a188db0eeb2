package graph_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/graph"
)

func TestEveryTaskRunsAfterItsDependencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		deps := make([][]int, n)
		for i := 1; i < n; i++ {
			deps[i] = rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 4), rapid.ID[int]).Draw(t, "deps")
		}
		failing := rapid.IntRange(-1, n-1).Draw(t, "failing")
		var mu sync.Mutex
		var ran, skipped []int
		w := graph.New(t.Context(), rapid.IntRange(1, 8).Draw(t, "parallel"), func(i int) { skipped = append(skipped, i) })
		for _, i := range rapid.Permutation(seq(n)).Draw(t, "order of adding") {
			w.Add(i, deps[i], func(context.Context) graph.Outcome {
				mu.Lock()
				defer mu.Unlock()
				for _, d := range deps[i] {
					if !slices.Contains(ran, d) {
						t.Errorf("%d ran before %d", i, d)
					}
				}
				ran = append(ran, i)
				if i == failing {
					return graph.Failed
				}
				return graph.Done
			})
		}
		w.Wait()
		if len(ran)+len(skipped) != n {
			t.Fatalf("%d ran and %d were skipped of %d", len(ran), len(skipped), n)
		}
		bad := map[int]bool{failing: true}
		for i := range n {
			for _, d := range deps[i] {
				bad[i] = bad[i] || bad[d]
			}
			if got := slices.Contains(skipped, i); got != (bad[i] && i != failing) {
				t.Errorf("%d skipped: %v", i, got)
			}
		}
	})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestTasksCanBeAddedWhileWalking(t *testing.T) {
	var mu sync.Mutex
	var ran []string
	w := graph.New[string](t.Context(), 4, nil)
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		ran = append(ran, s)
	}
	w.Add("all", []string{"expand"}, func(context.Context) graph.Outcome { note("all"); return graph.Done })
	w.Add("expand", nil, func(context.Context) graph.Outcome {
		for _, k := range []string{"a", "b"} {
			w.Add(k, nil, func(context.Context) graph.Outcome { note(k); return graph.Done })
		}
		w.Add("sum", []string{"a", "b"}, func(context.Context) graph.Outcome { note("sum"); return graph.Done })
		return graph.Done
	})
	w.Wait()
	if len(ran) != 4 || slices.Index(ran, "sum") < slices.Index(ran, "a") {
		t.Errorf("ran %v", ran)
	}
}

func TestNothingStartsAfterTheContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var skipped []string
	w := graph.New(ctx, 1, func(s string) { skipped = append(skipped, s) })
	w.Add("a", nil, func(context.Context) graph.Outcome { cancel(); return graph.Done })
	w.Add("b", []string{"a"}, func(context.Context) graph.Outcome { t.Error("b ran"); return graph.Done })
	w.Wait()
	if !slices.Equal(skipped, []string{"b"}) {
		t.Errorf("skipped %v", skipped)
	}
}

func TestSortReportsEveryCircleOnce(t *testing.T) {
	deps := map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"d"}, "e": {"f"}, "f": nil}
	order, cycles := graph.Sort([]string{"a", "b", "c", "d", "e", "f"}, func(s string) []string { return deps[s] })
	if !slices.Equal(order, []string{"f", "e"}) {
		t.Errorf("order %v", order)
	}
	if len(cycles) != 2 || cycles[0].Error() != "a -> b -> c -> a" || cycles[1].Error() != "d -> d" {
		t.Errorf("cycles %v", cycles)
	}
}

func TestWhoWaitsForWhatNeverComesIsSkipped(t *testing.T) {
	var skipped []string
	w := graph.New(t.Context(), 1, func(s string) { skipped = append(skipped, s) })
	w.Add("b", []string{"never"}, func(context.Context) graph.Outcome { t.Error("b ran"); return graph.Done })
	w.Add("c", []string{"b"}, func(context.Context) graph.Outcome { t.Error("c ran"); return graph.Done })
	w.Wait()
	slices.Sort(skipped)
	if !slices.Equal(skipped, []string{"b", "c"}) {
		t.Errorf("skipped %v", skipped)
	}
}
