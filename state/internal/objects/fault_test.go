package objects_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
	"github.com/davit-sh/davit/state/statetest"
)

// hang is a connection on which nothing comes any more.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func isHead(call string) bool { return call == "put "+objects.Head }

// Of a commit whose answer is lost it is found out that it was written: it is neither repeated nor failed.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		l := lock(t, store(t, b, objects.Options{}))
		var lost atomic.Int32
		b.inject(func(_ context.Context, call string, do func() error) error {
			if err := do(); err != nil || !isHead(call) || lost.Add(1)%2 == 0 {
				return err
			}
			return errCut
		})
		for i := range 50 {
			if serial := commit(t, l, fmt.Sprintf("build.oci.r%d", i)); serial != uint64(i+1) {
				t.Fatalf("commit %d has the serial %d", i+1, serial)
			}
		}
		if s := load(t, store(t, b, objects.Options{})); s.Serial != 50 || len(s.Records) != 50 {
			t.Errorf("serial %d, %d records", s.Serial, len(s.Records))
		}
		if lost.Load() < 25 {
			t.Errorf("only %d answers were lost", lost.Load())
		}
	})
}

// A write that was given up and comes through later is noticed, and what follows builds on it.
func TestLateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		l := lock(t, store(t, b, objects.Options{}))
		commit(t, l, "build.oci.first")
		b.inject(func(ctx context.Context, call string, do func() error) error {
			if !isHead(call) {
				return do()
			}
			b.inject(nil)
			time.AfterFunc(2*time.Second, func() { _ = do() })
			return hang(ctx)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Commit(ctx, state.Batch{Put: []state.Record{statetest.Record("build.oci.late")}})
		if unknown := new(objects.UnknownError); !errors.As(err, &unknown) {
			t.Fatalf("the commit that was given up says: %v", err)
		}
		time.Sleep(2 * time.Second)
		if serial := commit(t, l, "build.oci.next"); serial != 3 {
			t.Errorf("the serial is %d: the late write was not seen", serial)
		}
		if s := load(t, store(t, b, objects.Options{})); len(s.Records) != 3 {
			t.Errorf("records %v", s.Records)
		}
	})
}

// Refusals are not uncertain: who gives up after them knows that nothing was written.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		l := lock(t, store(t, b, objects.Options{}))
		var n atomic.Int64
		b.inject(func(_ context.Context, _ string, do func() error) error {
			if n.Add(1)%4 != 0 {
				return objects.Refused(errors.New("503 SlowDown"))
			}
			return do()
		})
		commit(t, l, "build.oci.a")
		b.inject(func(context.Context, string, func() error) error { return objects.Refused(errors.New("503 SlowDown")) })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := l.Commit(ctx, state.Batch{Put: []state.Record{statetest.Record("build.oci.b")}})
		if unknown := new(objects.UnknownError); err == nil || errors.As(err, &unknown) || !strings.Contains(err.Error(), "SlowDown") {
			t.Errorf("a commit that was always refused: %v", err)
		}
		b.inject(nil)
	})
}

// A holder that is paused while it writes is fenced off by whoever takes the lease over.
func TestPausedHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		old := lock(t, store(t, b, objects.Options{}))
		commit(t, old, "build.oci.first")
		goOn := b.pause(isHead)
		answer := make(chan error, 1)
		go func() {
			_, err := old.Commit(context.Background(), state.Batch{Put: []state.Record{statetest.Record("build.oci.old")}})
			answer <- err
		}()
		synctest.Wait()
		time.Sleep(31 * time.Second)
		now := lock(t, store(t, b.another(), objects.Options{}))
		commit(t, now, "build.oci.new")
		goOn()
		if err := <-answer; !errors.Is(err, state.ErrLeaseLost) {
			t.Errorf("the paused holder's commit: %v", err)
		}
		<-old.Lost()
		s := load(t, store(t, b, objects.Options{}))
		if _, wrote := s.Records["build.oci.old"]; wrote || len(s.Records) != 2 || s.Serial != 2 {
			t.Errorf("serial %d, records %v", s.Serial, s.Records)
		}
	})
}

// A commit that was written, whose answer was lost, and after which another took the lease, was written.
func TestWrittenBeforeTheLeaseWasLost(t *testing.T) {
	for name, c := range map[string]struct {
		others int // commits of the new holder
		want   func(error) bool
	}{
		"at once":             {0, func(err error) bool { return err == nil }},
		"a few commits later": {5, func(err error) bool { return err == nil }},
		"too late to be told": {40, func(err error) bool { return errors.As(err, new(*objects.UnknownError)) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBucket()
				old := lock(t, store(t, b, objects.Options{}))
				b.inject(func(_ context.Context, call string, do func() error) error {
					if !isHead(call) {
						return do()
					}
					b.inject(nil)
					if err := do(); err != nil {
						return err
					}
					s := store(t, b, objects.Options{})
					_, err := s.Lock(context.Background(), state.Holder{})
					var locked *state.LockedError
					if !errors.As(err, &locked) {
						return err
					}
					if err := s.Unlock(context.Background(), locked.Holder.ID); err != nil {
						return err
					}
					l := lock(t, s)
					for i := range c.others {
						commit(t, l, fmt.Sprintf("build.oci.other%d", i))
					}
					return errCut
				})
				_, err := old.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.old")}})
				if !c.want(err) {
					t.Errorf("the commit says: %v", err)
				}
				<-old.Lost()
				if s := load(t, store(t, b, objects.Options{})); len(s.Records) != 1+c.others {
					t.Errorf("%d records", len(s.Records))
				}
			})
		})
	}
}

// The lease lives as long as beats come through, and is lost when none has for as long as it lasts.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		l := lock(t, store(t, b, objects.Options{}))
		commit(t, l, "build.oci.a")
		time.Sleep(10*time.Minute + time.Second)
		var locked *state.LockedError
		if _, err := store(t, b, objects.Options{}).Lock(t.Context(), state.Holder{}); !errors.As(err, &locked) {
			t.Fatalf("the lease expired under its heartbeat: %v", err)
		}
		if s := load(t, store(t, b, objects.Options{})); s.Serial != 1 {
			t.Errorf("beats moved the serial to %d", s.Serial)
		}
		b.inject(func(ctx context.Context, _ string, _ func() error) error { return hang(ctx) })
		select {
		case <-l.Lost():
			t.Fatal("one beat that failed ended the lease")
		case <-time.After(15 * time.Second):
		}
		b.inject(nil)
		time.Sleep(time.Minute)
		commit(t, l, "build.oci.b")
		began := time.Now()
		b.inject(func(ctx context.Context, _ string, _ func() error) error { return hang(ctx) })
		<-l.Lost()
		if after := time.Since(began); after < 20*time.Second || after > 31*time.Second {
			t.Errorf("the lease was lost after %s without a beat", after)
		}
		b.inject(nil)
		if _, err := l.Commit(t.Context(), state.Batch{}); !errors.Is(err, state.ErrLeaseLost) {
			t.Errorf("a commit after that: %v", err)
		}
		lock(t, store(t, b, objects.Options{}))
	})
}

// A commit in bad weather keeps its own lease alive, and a long one does not keep beats waiting.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		o := objects.Options{Tail: 1}
		l := lock(t, store(t, b, o))
		b.inject(func(_ context.Context, call string, do func() error) error {
			if strings.HasPrefix(call, "put seg-") {
				b.inject(nil)
				time.Sleep(2 * time.Minute)
			}
			return do()
		})
		commit(t, l, "build.oci.a")
		select {
		case <-l.Lost():
			t.Error("the lease was lost while an object was written")
		default:
		}
	})
}

// Objects that no head names are removed in the end, those of holders that died among them.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		o := objects.Options{Part: 1024, Tail: 600}
		dead, cancel := context.WithCancel(t.Context())
		l := lock(t, store(t, b, o))
		commit(t, l, "build.oci.a")
		b.inject(func(_ context.Context, call string, do func() error) error {
			if isHead(call) {
				cancel()
				return errCut
			}
			return do()
		})
		var many []state.Record
		for i := range 200 {
			many = append(many, statetest.Record(fmt.Sprintf("build.oci.x%d", i)))
		}
		if _, err := l.Commit(dead, state.Batch{Put: many}); err == nil {
			t.Fatal("the commit was to fail")
		}
		orphans := len(b.names()) - 1
		b.inject(nil)
		if orphans < 2 {
			t.Fatalf("there are %v", b.names())
		}
		_ = l.Release(t.Context())
		l = lock(t, store(t, b, o))
		for i := range 300 {
			commit(t, l, fmt.Sprintf("build.oci.r%d", i%20))
		}
		if n := len(b.names()); n > 30 {
			t.Errorf("%d objects are left: %v", n, b.names())
		}
		for _, name := range b.names() {
			if strings.HasPrefix(name, "seg-1-") {
				t.Errorf("%s of the first lease is left", name)
			}
		}
	})
}

// An old holder that wakes up in the middle of its cleaning removes nothing that the new one uses.
func TestOldHolderCleans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		o := objects.Options{Tail: 1}
		old := lock(t, store(t, b, o))
		goOn := b.pause(func(call string) bool { return call == "list" || strings.HasPrefix(call, "delete") })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 3 {
				_, _ = old.Commit(context.Background(), state.Batch{Put: []state.Record{statetest.Record(fmt.Sprintf("build.oci.o%d", i))}})
				_, _ = old.Commit(context.Background(), state.Batch{End: []string{"nothing"}})
			}
		}()
		synctest.Wait()
		time.Sleep(time.Minute)
		l := lock(t, store(t, b.another(), o))
		for i := range 40 {
			commit(t, l, fmt.Sprintf("build.oci.n%d", i))
		}
		goOn()
		<-ended
		if s := load(t, store(t, b, o)); len(s.Damaged) > 0 || s.Records["build.oci.n39"].Address == "" {
			t.Errorf("damaged %v, %d records", s.Damaged, len(s.Records))
		}
	})
}

// A commit of one record among 5,000 is few requests, and so is a load.
func TestRequests(t *testing.T) {
	b := newBucket()
	s := store(t, b, objects.Options{Part: 768 << 10})
	l := lock(t, s)
	var all state.Batch
	for i := range 5000 {
		all.Put = append(all.Put, large(fmt.Sprintf("application.kubernetes.app%d", i), i))
	}
	if _, err := l.Commit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	b.requests()
	load(t, store(t, b, objects.Options{}))
	statetest.Numbers(t, "a load: %d requests", len(b.requests()))
	most, total := 0, 0
	const commits = 2000
	for i := range commits {
		r := large(fmt.Sprintf("application.kubernetes.app%d", i*7%5000), commits+i)
		if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{r}, History: []state.Revision{{Action: "update", Record: r}}}); err != nil {
			t.Fatal(err)
		}
		n := len(b.requests())
		most, total = max(most, n), total+n
	}
	statetest.Numbers(t, "%d commits: %.2f requests each, at most %d; %d objects", commits, float64(total)/commits, most, len(b.names()))
	if most >= 10 {
		t.Errorf("a commit was %d requests", most)
	}
	s2 := load(t, store(t, b, objects.Options{}))
	statetest.Numbers(t, "a load: %d requests", len(b.requests()))
	if len(s2.Records) != 5000 {
		t.Errorf("%d records", len(s2.Records))
	}
}

// large is a record as real ones are: some 3 kB, of which most is like that of others.
func large(address string, seed int) state.Record {
	r := statetest.Record(address)
	config := `{"type":["object",{"namespace":"string","path":"string","images":["map","string"],"values":["map","string"]}],"value":{"namespace":"shop","path":"apps/%[1]d/deploy","images":{"acme/api":"registry.example.com/acme/api:1.0.%[1]d@sha256:%[2]064x"},"values":{%[3]s}}}`
	var values []string
	for i := range 30 {
		values = append(values, fmt.Sprintf(`"setting%d":"value %x of some length"`, i, uint64(seed+1)*uint64(i+7)*2654435761))
	}
	r.Config = fmt.Appendf(nil, config, seed, seed*7919, strings.Join(values, ","))
	r.Outputs = r.Config
	return r
}
