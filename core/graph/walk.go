// Package graph walks a graph of tasks: each starts when those it depends on are done, as
// many at once as allowed, and tasks may be added while the walk goes on.
package graph

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Outcome is how a task ended.
type Outcome int

// The outcomes.
const (
	Done    Outcome = iota + 1
	Failed          // what depends on it is skipped
	Skipped         // something that it depends on failed, was skipped, or the walk was stopped
)

// Walk runs tasks. Make one with New; Add and Wait may be called concurrently.
type Walk[K comparable] struct {
	ctx      context.Context
	parallel int
	skipped  func(K)

	mu      sync.Mutex
	tasks   map[K]*task[K]
	ready   []*task[K] // to be run, first come first served
	workers int        // that run tasks
	changed *sync.Cond
}

type task[K comparable] struct {
	id      K
	run     func(context.Context) Outcome
	missing int // dependencies that have not ended
	skip    bool
	always  bool // runs whatever became of its dependencies
	outcome Outcome
	next    []*task[K] // who waits for it
}

// New makes a walk that runs at most parallel tasks at once and starts none when ctx has
// ended. skipped is told of each task that is not run.
func New[K comparable](ctx context.Context, parallel int, skipped func(K)) *Walk[K] {
	w := &Walk[K]{ctx: ctx, parallel: parallel, skipped: skipped, tasks: map[K]*task[K]{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// Add adds a task. What it depends on may be added later, by a task that is running; what
// was never added leaves those who wait for it skipped. An id is added once.
func (w *Walk[K]) Add(id K, deps []K, run func(context.Context) Outcome) { w.add(id, deps, false, run) }

// AddAlways adds a task that runs when its dependencies have ended, also when they failed or were skipped.
func (w *Walk[K]) AddAlways(id K, deps []K, run func(context.Context) Outcome) {
	w.add(id, deps, true, run)
}

func (w *Walk[K]) add(id K, deps []K, always bool, run func(context.Context) Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.task(id)
	t.run, t.always = run, always
	for _, d := range deps {
		dep := w.task(d)
		switch dep.outcome {
		case 0:
			dep.next = append(dep.next, t)
			t.missing++
		case Failed, Skipped:
			t.skip = true
		case Done:
		}
	}
	if t.missing == 0 {
		w.start(t)
	}
}

func (w *Walk[K]) task(id K) *task[K] {
	t := w.tasks[id]
	if t == nil {
		t = &task[K]{id: id}
		w.tasks[id] = t
	}
	return t
}

// start is called with the lock held, when nothing is missing any more.
func (w *Walk[K]) start(t *task[K]) {
	if t.skip && !t.always || w.ctx.Err() != nil {
		w.end(t, Skipped)
		return
	}
	w.ready = append(w.ready, t)
	if w.workers < w.parallel {
		w.workers++
		go w.work()
	}
}

// work runs what is ready, until nothing is.
func (w *Walk[K]) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.ready) > 0 {
		t := w.ready[0]
		w.ready = w.ready[1:]
		outcome := Skipped
		if w.ctx.Err() == nil {
			run := t.run
			w.mu.Unlock()
			outcome = run(w.ctx)
			w.mu.Lock()
		}
		w.end(t, outcome)
	}
	w.workers--
	w.changed.Broadcast()
}

// end is called with the lock held.
func (w *Walk[K]) end(t *task[K], outcome Outcome) {
	t.outcome = outcome
	t.run = nil
	if outcome == Skipped && w.skipped != nil {
		w.skipped(t.id)
	}
	for _, next := range t.next {
		next.missing--
		next.skip = next.skip || outcome != Done
		if next.missing == 0 && next.run != nil {
			w.start(next)
		}
	}
	t.next = nil
}

// Wait returns when all tasks have ended.
func (w *Walk[K]) Wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.workers > 0 {
		w.changed.Wait()
	}
	for _, t := range w.tasks {
		if t.run != nil && t.outcome == 0 {
			w.end(t, Skipped)
		}
	}
}

// CycleError is a circle of dependencies.
type CycleError[K comparable] struct {
	Cycle []K // each depends on the next, the last on the first
}

func (e *CycleError[K]) Error() string {
	parts := make([]string, len(e.Cycle), len(e.Cycle)+1)
	for i, k := range e.Cycle {
		parts[i] = fmt.Sprint(k)
	}
	return strings.Join(append(parts, parts[0]), " -> ")
}

// Sort orders ids so that each comes after its dependencies, otherwise as given. Every
// circle is reported once: ids in a circle are left out of the order.
func Sort[K comparable](ids []K, deps func(K) []K) (order []K, cycles []*CycleError[K]) {
	const (
		visiting = 1
		visited  = 2
	)
	mark := map[K]int{}
	var path []K
	var visit func(K) bool
	visit = func(id K) bool {
		switch mark[id] {
		case visited:
			return true
		case visiting:
			at := slices.Index(path, id)
			cycles = append(cycles, &CycleError[K]{Cycle: slices.Clone(path[at:])})
			return false
		}
		mark[id] = visiting
		path = append(path, id)
		fine := true
		for _, d := range deps(id) {
			fine = visit(d) && fine
		}
		path = path[:len(path)-1]
		mark[id] = visited
		if fine {
			order = append(order, id)
		}
		return fine
	}
	for _, id := range ids {
		visit(id)
	}
	return order, cycles
}
