package local_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

func BenchmarkCommit(b *testing.B) {
	l, err := store(b, filepath.Join(b.TempDir(), "state.db")).Lock(b.Context(), state.Holder{})
	if err != nil {
		b.Fatal(err)
	}
	g := state.Group(l)
	b.Run("one at a time", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := g.Commit(b.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.r" + strconv.Itoa(i))}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by 64 at once", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for i := 0; p.Next(); i++ {
				if _, err := g.Commit(b.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.s" + strconv.Itoa(i))}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// realistic is a record of the size that an application's has.
func realistic(i int) state.Record {
	r := statetest.Record(fmt.Sprintf("module.shop[\"region-%d\"].application.kubernetes.api[\"tenant-%d\"]", i%50, i))
	r.Config = json.RawMessage(fmt.Sprintf(`{"type":["object",{"namespace":"string","path":"string","images":["map","string"]}],"value":{"namespace":"tenant-%d","path":"apps/api/deploy","images":{"acme/api":"registry.example.com/acme/api:1.0.%d@sha256:%064x"}}}`, i, i, i))
	r.Outputs = json.RawMessage(fmt.Sprintf(`{"type":["object",{"revision":"string","health":"string"}],"value":{"revision":"%064x","health":"Current"}}`, i))
	r.DependsOn = []string{"source.git.repo", "policy.semver.api"}
	r.Fingerprints = map[string]string{"token": fmt.Sprintf("hmac-sha256:%064x", i)}
	return r
}

// big makes a state of 50,000 records with a revision each of every tenth, in commits of a thousand.
func big(b *testing.B) (*local.Store, state.Lease, string) {
	b.Helper()
	const records = 50_000
	path := filepath.Join(b.TempDir(), "state.db")
	s := store(b, path, local.TTL(time.Minute))
	l, err := s.Lock(b.Context(), state.Holder{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Release(b.Context()) })
	for i := 0; i < records; i += 1000 {
		var batch state.Batch
		for j := i; j < i+1000; j++ {
			r := realistic(j)
			batch.Put = append(batch.Put, r)
			if j%10 == 0 {
				batch.History = append(batch.History, state.Revision{Action: "create", Who: "somebody@host", Record: r})
			}
		}
		if _, err := l.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return s, l, path
}

// 50,000 records: loading them, and writing one.
func BenchmarkBig(b *testing.B) {
	s, l, path := big(b)
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if snapshot, err := s.Load(b.Context()); err != nil || len(snapshot.Records) != 50_000 {
				b.Fatal(err)
			}
		}
	})
	b.Run("archive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if a, err := s.Archive(b.Context()); err != nil || len(a.Records) != 50_000 || len(a.Damaged) > 0 {
				b.Fatal(err, a.Damaged)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		text, err := json.Marshal(realistic(1))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, "file-MB")
		b.ReportMetric(float64(len(text)), "record-B")
	})
	b.Run("commit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := l.Commit(b.Context(), state.Batch{Put: []state.Record{realistic(i * 7919 % 50_000)}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("commit with a revision", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r := realistic(i * 7919 % 50_000)
			if _, err := l.Commit(b.Context(), state.Batch{Put: []state.Record{r}, History: []state.Revision{{Action: "update", Record: r}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
