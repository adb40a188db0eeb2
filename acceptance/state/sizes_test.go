package state_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/statetest"
)

// A commit of one record among 5,000 is fewer than 10 requests, whatever is cleaned up with it, and so is a load.
func TestRequests(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		p, middle := fresh(t).overMiddle(t)
		store := p.open(t)
		lease := lock(t, store)
		middle.count()
		const records, rounds = 5000, 400
		var all state.Batch
		for i := range records {
			all.Put = append(all.Put, real(i, 0))
		}
		began := time.Now()
		if _, err := lease.Commit(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		statetest.Numbers(t, "%d records at once: %d requests, %.2f s", records, middle.count(), time.Since(began).Seconds())
		most, total := 0, 0
		began = time.Now()
		for i := range rounds {
			r := real(i*37%records, i+1)
			if _, err := lease.Commit(t.Context(), state.Batch{Put: []state.Record{r}, History: []state.Revision{{Action: "update", Record: r}}}); err != nil {
				t.Fatal(err)
			}
			n := middle.count()
			most, total = max(most, n), total+n
		}
		statetest.Numbers(t, "%d commits of one record and its revision: %.2f requests each, at most %d, %.1f ms each",
			rounds, float64(total)/rounds, most, time.Since(began).Seconds()*1000/rounds)
		if most >= 10 {
			t.Errorf("a commit was %d requests", most)
		}
		began = time.Now()
		s, err := p.open(t).Load(t.Context())
		if err != nil || len(s.Records) != records || len(s.Damaged) > 0 {
			t.Fatalf("%d records: %v", len(s.Records), err)
		}
		n := middle.count()
		statetest.Numbers(t, "a load: %d requests, %.2f s", n, time.Since(began).Seconds())
		if n >= 20 {
			t.Errorf("a load was %d requests", n)
		}
		// What a run of davit does: lock, load, begin, end, release.
		store = p.open(t)
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		middle.count()
		next := lock(t, store)
		if _, err := store.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := middle.count()
		if _, err := next.Commit(t.Context(), state.Batch{Put: []state.Record{real(1, 7)}}); err != nil {
			t.Fatal(err)
		}
		if n := middle.count(); n >= 10 {
			t.Errorf("the first commit of a run was %d requests", n)
		} else {
			statetest.Numbers(t, "a run: %d requests to lock and load, %d for the first commit", before, n)
		}
	})
}

// real is a record of some 4 kB, of which most is like that of others.
func real(i, version int) state.Record {
	r := statetest.Record(fmt.Sprintf(`application.kubernetes.app["%d"]`, i))
	var values []string
	for k := range 30 {
		values = append(values, fmt.Sprintf(`"setting%d":"value %x of some length"`, k, (i+1)*(k+7+version)*2654435761))
	}
	r.Config = fmt.Appendf(nil, `{"type":["object",{"namespace":"string","path":"string","image":"string","values":["map","string"]}],"value":{"namespace":"shop","path":"apps/%d/deploy","image":"registry.example.com/acme/api:1.0.%d@sha256:%064x","values":{%s}}}`,
		i, version, (i+1)*7919, strings.Join(values, ","))
	r.Outputs = r.Config
	return r
}

// What is larger than an object may be is cut and put together again.
func TestLargeRecord(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		p := fresh(t)
		r := statetest.Record("build.oci.large")
		r.Private = make([]byte, 3<<20)
		if _, err := rand.Read(r.Private); err != nil {
			t.Fatal(err)
		}
		if _, err := lock(t, p.open(t)).Commit(t.Context(), state.Batch{Put: []state.Record{r}}); err != nil {
			t.Fatal(err)
		}
		s, err := p.open(t).Load(t.Context())
		if err != nil || !bytes.Equal(s.Records[r.Address].Private, r.Private) {
			t.Errorf("it is another: %v", err)
		}
	})
}
