package firstgc

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The first collection brings the percentage to what is meant for work.
func TestTheFirstCollectionEndsIt(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set")
	}
	runtime.GC()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		now := debug.SetGCPercent(working)
		if now == working {
			return
		}
		debug.SetGCPercent(now)
		if time.Now().After(deadline) {
			t.Fatalf("the percentage is %d", now)
		}
	}
}
