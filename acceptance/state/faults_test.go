package state_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/statetest"
)

func lock(t testing.TB, s state.Store) state.Lease {
	t.Helper()
	lease, err := s.Lock(t.Context(), state.Holder{Who: "a@here", What: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lease.Release(context.Background()) })
	return lease
}

// commits makes n commits of a record each, while the world is disturbed, and checks that each was made once.
func commits(t *testing.T, lease state.Lease, clean place, n int, disturb func(i int) (undo func())) {
	t.Helper()
	before, err := clean.open(t).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		undo := disturb(i)
		serial, err := lease.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record(fmt.Sprintf("build.oci.n%d-%d", before.Serial, i))}})
		undo()
		if err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
		if want := before.Serial + uint64(i) + 1; serial != want {
			t.Fatalf("commit %d has the serial %d, want %d", i, serial, want)
		}
	}
	after, err := clean.open(t).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Records) != len(before.Records)+n || after.Serial != before.Serial+uint64(n) || len(after.Damaged) > 0 {
		t.Errorf("%d records after %d commits, serial %d, damaged %v", len(after.Records)-len(before.Records), n, after.Serial, after.Damaged)
	}
}

func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		clean := fresh(t)
		p, network := clean.overNetwork(t)
		network.add(t, "latency", "downstream", `{"latency":300,"jitter":200}`)
		network.add(t, "bandwidth", "upstream", `{"rate":50}`)
		commits(t, lock(t, p.open(t)), clean, 5, func(int) func() { return func() {} })
	})
}

// The connection is cut after some bytes of the request, or of the answer.
func TestCut(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		clean := fresh(t)
		p, network := clean.overNetwork(t)
		lease := lock(t, p.open(t))
		random := rand.New(rand.NewPCG(1, 2))
		commits(t, lease, clean, 30, func(i int) func() {
			stream := []string{"upstream", "downstream"}[i%2]
			remove := network.add(t, "limit_data", stream, fmt.Sprintf(`{"bytes":%d}`, random.IntN(6000)))
			mended := make(chan struct{})
			time.AfterFunc(time.Duration(20+random.IntN(200))*time.Millisecond, func() { remove(); close(mended) })
			return func() { <-mended }
		})
	})
}

// A connection on which nothing comes any more is given up, whether the request got through or not.
func TestHalfOpen(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		clean := fresh(t)
		p, cable := clean.overCable(t)
		p.ttl = 4 * time.Second
		lease := lock(t, p.open(t))
		commits(t, lease, clean, 5, func(int) func() { cable.die(); return func() {} })
		if cable.made < 5 {
			t.Errorf("%d connections were made: the dead ones were used", cable.made)
		}
		// A reader is no better off.
		store := p.open(t)
		if _, err := store.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		cable.die()
		if s, err := store.Load(t.Context()); err != nil || len(s.Records) != 5 {
			t.Errorf("loading over a dead connection: %v", err)
		}
	})
}

func TestThrottled(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		clean := fresh(t)
		p, middle := clean.overMiddle(t)
		var n atomic.Int64
		middle.set(func(*http.Request) int {
			switch n.Add(1) % 6 {
			case 1, 2:
				return http.StatusServiceUnavailable
			case 4:
				return http.StatusTooManyRequests
			case 5:
				return http.StatusInternalServerError
			}
			return 0
		})
		commits(t, lock(t, p.open(t)), clean, 12, func(int) func() { return func() {} })
	})
}

// Two fight for the lease while the one that has it beats and commits: nobody takes what is held, and conflicts of
// versions harm nobody.
func TestConflicts(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		clean := fresh(t)
		mine := clean
		mine.ttl = 600 * time.Millisecond // a beat each 200 ms
		lease := lock(t, mine.open(t))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		for range 3 {
			other := clean.open(t)
			go func() {
				tries := 0
				for ; ctx.Err() == nil; tries++ {
					if l, err := other.Lock(ctx, state.Holder{Who: "other@there"}); err == nil {
						t.Error("the lease was taken")
						_ = l.Release(context.Background())
					}
				}
				done <- tries
			}()
		}
		commits(t, lease, clean, 40, func(int) func() { time.Sleep(20 * time.Millisecond); return func() {} })
		cancel()
		statetest.Numbers(t, "refused: %d", <-done+<-done+<-done)
	})
}

// The API server is killed in the middle of commits.
func TestServerRestarted(t *testing.T) {
	p := newKubernetes(t)
	lease := lock(t, p.open(t))
	const restarts = 3
	stop := make(chan struct{})
	restarted := make(chan error, 1)
	go func() {
		defer close(stop)
		for range restarts {
			time.Sleep(300 * time.Millisecond)
			if err := l.APIServer.Restart(context.Background()); err != nil {
				restarted <- err
				return
			}
		}
		restarted <- nil
	}()
	acknowledged := 0
	for running := true; running; acknowledged++ {
		select {
		case <-stop:
			running = false
		default:
		}
		serial, err := lease.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record(fmt.Sprintf("build.oci.r%d", acknowledged))}})
		if err != nil || serial != uint64(acknowledged+1) {
			t.Fatalf("commit %d: serial %d, %v", acknowledged, serial, err)
		}
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	s, err := p.open(t).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Records) != acknowledged || s.Serial != uint64(acknowledged) {
		t.Errorf("%d records, serial %d", len(s.Records), s.Serial)
	}
	statetest.Numbers(t, "%d restarts, %d commits, %d lost, %d repeated", restarts, acknowledged, max(0, acknowledged-len(s.Records)), max(0, int(s.Serial)-acknowledged))
}
