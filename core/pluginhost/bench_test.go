package pluginhost

import (
	"context"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// BenchmarkStart measures a plugin from nothing to its first answer.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		h := newHost(b, nil, "good")
		c, err := h.Client(context.Background(), "good")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Describe(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkClose measures the polite end of a plugin.
func BenchmarkClose(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		h := newHost(b, nil, "good")
		if _, err := h.Client(context.Background(), "good"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlan measures calls that share a stream: one at a time, and 256 callers at once.
func BenchmarkPlan(b *testing.B) {
	c := goodClient(b, nil)
	r := &pluginv1.PlanRequest{Address: "say:hi", Kind: "source", Type: "git"}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Plan(context.Background(), r, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.SetParallelism(128)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := c.Plan(context.Background(), r, nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
