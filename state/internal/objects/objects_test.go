package objects_test

import (
	"context"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
	"github.com/davit-sh/davit/state/remotetest"
	"github.com/davit-sh/davit/state/statetest"
)

func store(t testing.TB, b objects.Bucket, o objects.Options) *objects.Store {
	t.Helper()
	s, err := objects.Open(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small makes every few commits write objects, and larger ones several of them.
var small = objects.Options{Part: 16 << 10, Tail: 600}

func TestConformance(t *testing.T) {
	for name, o := range map[string]objects.Options{"as it is": {}, "small objects": small} {
		t.Run(name, func(t *testing.T) {
			o.TTL = time.Second
			statetest.Run(t, func(t *testing.T) statetest.Backend {
				b := newBucket()
				return remotetest.Backend(func() state.Store { return store(t, b, o) })
			})
		})
	}
}

func lock(t testing.TB, s state.Store) state.Lease {
	t.Helper()
	l, err := s.Lock(t.Context(), state.Holder{Who: "a@here", What: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release(context.Background()) })
	return l
}

func commit(t testing.TB, l state.Lease, addresses ...string) uint64 {
	t.Helper()
	var b state.Batch
	for _, a := range addresses {
		b.Put = append(b.Put, statetest.Record(a))
	}
	serial, err := l.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func load(t testing.TB, s state.Store) *state.Snapshot {
	t.Helper()
	snapshot, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}
