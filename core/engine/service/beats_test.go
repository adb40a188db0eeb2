package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davit-sh/davit/core/event"
)

func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		b := &beats{emit: func(ev event.Event) {
			told = append(told, fmt.Sprint(ev.Type, " ", ev.Address, " ", ev.ElapsedMS/1000))
		}}
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		started := time.Now()
		for _, address := range []string{"a", "b"} {
			giveUp := cancel
			if address == "b" {
				giveUp = nil
			}
			stop := b.Start(event.Event{Address: address}, giveUp)
			time.AfterFunc(25*time.Second, func() {
				if address == "b" {
					stop()
				}
			})
			defer stop()
		}
		<-ctx.Done()
		if took := time.Since(started); !errors.Is(context.Cause(ctx), errPlanTimeout) || took < planTimeout || took > planTimeout+2*time.Second {
			t.Errorf("given up after %s: %v", took, context.Cause(ctx))
		}
		if told[0] != "heartbeat a 1" {
			t.Errorf("the first heartbeat is %s", told[0])
		}
		told = told[1:]
		slices.Sort(told[:4])
		if want := []string{"heartbeat a 10", "heartbeat a 20", "heartbeat b 10", "heartbeat b 20"}; !slices.Equal(told[:4], want) || told[4] != "heartbeat a 30" || len(told) != 2+int(planTimeout/heartbeatEvery) {
			t.Errorf("%d heartbeats: %q", len(told), told)
		}
	})
}

// When nothing goes on any more there is no timer.
func TestBeatsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &beats{emit: func(event.Event) { t.Error("a heartbeat of what has ended") }}
		for range 3 {
			b.Start(event.Event{}, nil)()
			time.Sleep(2 * time.Second)
			b.mu.Lock()
			if b.timer != nil {
				t.Error("the timer goes on")
			}
			b.mu.Unlock()
		}
	})
}
