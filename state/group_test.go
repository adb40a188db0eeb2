package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
)

// slow is a lease whose first commit waits until it is told to go on.
type slow struct {
	state.Lease
	started chan struct{}
	goOn    chan error
	mu      sync.Mutex
	batches []state.Batch
}

func newSlow() *slow { return &slow{started: make(chan struct{}), goOn: make(chan error)} }

func (s *slow) Commit(ctx context.Context, b state.Batch) (uint64, error) {
	s.mu.Lock()
	s.batches = append(s.batches, b)
	n := len(s.batches)
	s.mu.Unlock()
	if n == 1 {
		close(s.started)
		select {
		case err := <-s.goOn:
			return uint64(n), err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return uint64(n), nil
}

// puts are the addresses that each write put, without the first one's.
func (s *slow) puts() []string {
	var out []string
	for _, b := range s.batches[1:] {
		var addresses []string
		for _, r := range b.Put {
			addresses = append(addresses, r.Address)
		}
		out = append(out, strings.Join(addresses, " "))
	}
	return out
}

// begin starts a commit that is being written, and returns its answer.
func (s *slow) begin(ctx context.Context, g state.Lease) chan error {
	first := submit(ctx, g, state.Batch{Put: []state.Record{{Address: "first"}}})
	<-s.started
	return first
}

func submit(ctx context.Context, g state.Lease, b state.Batch) chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := g.Commit(ctx, b)
		answer <- err
	}()
	return answer
}

// queue submits a commit and comes back when it waits behind n others.
func queue(t *testing.T, g state.Lease, n int, b state.Batch) chan error {
	t.Helper()
	answer := submit(t.Context(), g, b)
	for state.Waiting(g) <= n {
		select {
		case err := <-answer:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	return answer
}

func put(address string) state.Batch {
	return state.Batch{Put: []state.Record{{Address: address}}}
}

// What comes while a commit is being written shares the next one, and each caller gets its own answer.
func TestGroupShares(t *testing.T) {
	s := newSlow()
	g := state.Group(s)
	first := s.begin(t.Context(), g)
	var others []chan error
	for i, address := range []string{"b", "c", "d"} {
		others = append(others, queue(t, g, i, put(address)))
	}
	failed := errors.New("disk full")
	s.goOn <- failed
	if err := <-first; !errors.Is(err, failed) {
		t.Errorf("the first caller got %v", err)
	}
	for _, o := range others {
		if err := <-o; err != nil {
			t.Error(err)
		}
	}
	if got := s.puts(); !slices.Equal(got, []string{"b c d"}) {
		t.Errorf("the other writes put %q", got)
	}
}

// A batch that cannot be is refused alone.
func TestGroupRefusesAlone(t *testing.T) {
	s := newSlow()
	g := state.Group(s)
	first := s.begin(t.Context(), g)
	good := queue(t, g, 0, put("good"))
	if err := <-submit(t.Context(), g, put("")); err == nil {
		t.Error("a record without an address was taken")
	}
	s.goOn <- nil
	if err := errors.Join(<-first, <-good); err != nil {
		t.Error(err)
	}
}

// Who leaves takes nobody along: not who writes, not who waits.
func TestGroupContexts(t *testing.T) {
	s := newSlow()
	g := state.Group(s)
	writer, leaveWriter := context.WithCancel(t.Context())
	first := s.begin(writer, g)
	waiter, leaveWaiter := context.WithCancel(t.Context())
	left := submit(waiter, g, put("left"))
	for state.Waiting(g) == 0 { //nolint:revive // it comes
	}
	stays := queue(t, g, 1, put("stays"))
	leaveWaiter()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	leaveWriter() // it is alone in its write, which ends
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the writer got %v", err)
	}
	if err := <-stays; err != nil {
		t.Errorf("who stayed got %v", err)
	}
	if got := s.puts(); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("written was %q", got)
	}
	if _, err := g.Commit(t.Context(), put("later")); err != nil {
		t.Errorf("a later commit: %v", err)
	}
}

// A write that others share goes on when the one that came first leaves, and ends when all have left.
func TestGroupSharedContext(t *testing.T) {
	block := &blocking{in: make(chan context.Context), out: make(chan struct{})}
	g := state.Group(block)
	alone := submit(t.Context(), g, put("alone"))
	<-block.in
	var cancels []context.CancelFunc
	var answers []chan error
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		answers = append(answers, submit(ctx, g, put(fmt.Sprint(i))))
		for state.Waiting(g) <= i { //nolint:revive // it comes
		}
	}
	block.out <- struct{}{}
	if err := <-alone; err != nil {
		t.Error(err)
	}
	shared := <-block.in
	cancels[0]()
	if err := <-answers[0]; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	if shared.Err() != nil {
		t.Fatal("the write of three ended with the first of them")
	}
	cancels[1]()
	cancels[2]()
	<-shared.Done()
	block.out <- struct{}{}
	for _, a := range answers[1:] {
		if err := <-a; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
	}
}

type blocking struct {
	state.Lease
	in  chan context.Context
	out chan struct{}
}

func (b *blocking) Commit(ctx context.Context, _ state.Batch) (uint64, error) {
	b.in <- ctx
	<-b.out
	return 0, ctx.Err()
}

// Moves come first in a batch, so a batch with a move of something that was named before is written after it.
func TestMergeKeepsOrder(t *testing.T) {
	move := state.Batch{Move: []state.Move{{From: "a", To: "b"}}}
	for name, c := range map[string]struct {
		before, after state.Batch
		writes        int
	}{
		"put then moved":         {put("a"), move, 2},
		"put where it moves to":  {put("b"), move, 2},
		"deleted then moved":     {state.Batch{Delete: []string{"b"}}, move, 2},
		"begun then moved":       {state.Batch{Begin: []state.Operation{{ID: "1", Address: "a"}}}, move, 2},
		"applied then moved":     {state.Batch{History: []state.Revision{{Record: state.Record{Address: "a"}}}}, move, 2},
		"moved then moved on":    {move, state.Batch{Move: []state.Move{{From: "b", To: "c"}}}, 2},
		"moved then moved there": {move, state.Batch{Move: []state.Move{{From: "c", To: "a"}}}, 2},
		"moved then put":         {move, put("a"), 1},
		"moved then deleted":     {move, state.Batch{Delete: []string{"b"}}, 1},
		"others":                 {put("c"), move, 1},
	} {
		if got := state.Merge(c.before, c.after); len(got) != c.writes {
			t.Errorf("%s: %d writes, want %d: %+v", name, len(got), c.writes, got)
		}
	}
}

// Whatever batches are merged, the state is what it is when each is written alone.
func TestMergeMeansTheSame(t *testing.T) {
	merged := 0
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.SliceOfN(rapid.Custom(drawBatch), 1, 8).Draw(t, "batches")
		together := state.Merge(batches...)
		merged += len(batches) - len(together)
		if diff := cmp.Diff(written(t, batches), written(t, together)); diff != "" {
			t.Fatalf("alone and together (-alone +together):\n%s\nthe batches are %+v", diff, together)
		}
	})
	if merged == 0 {
		t.Error("nothing was ever merged")
	}
	t.Logf("%d batches were merged", merged)
}

func drawBatch(t *rapid.T) (b state.Batch) {
	address := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	for range rapid.IntRange(1, 3).Draw(t, "items") {
		a := address.Draw(t, "address")
		mark := rapid.StringN(1, 3, -1).Draw(t, "mark")
		switch rapid.IntRange(0, 6).Draw(t, "what") {
		case 0, 1:
			b.Put = append(b.Put, state.Record{Address: a, Plugin: mark})
		case 2:
			b.Delete = append(b.Delete, a)
		case 3:
			b.Begin = append(b.Begin, state.Operation{ID: a, Address: a, Action: mark})
		case 4:
			b.End = append(b.End, a)
		case 5:
			b.History = append(b.History, state.Revision{Action: mark, Record: state.Record{Address: a}})
		case 6:
			if m := (state.Batch{Move: append(slices.Clone(b.Move), state.Move{From: a, To: address.Draw(t, "to")})}); m.Check() == nil {
				b.Move = m.Move
			}
		}
	}
	if rapid.Bool().Draw(t, "outputs") {
		b.Outputs = map[string]json.RawMessage{rapid.SampledFrom([]string{"x", "y"}).Draw(t, "output"): json.RawMessage(`1`)}
	}
	return b
}

// written is the state after a list of batches, without what counts the writes.
func written(t *rapid.T, batches []state.Batch) *state.Archive {
	store := memory.New()
	ctx := context.Background()
	l, err := store.Lock(ctx, state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if _, err := l.Commit(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	a, err := store.Archive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	a.Serial, a.Lineage = 0, ""
	return a
}
