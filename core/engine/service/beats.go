package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/event"
)

const (
	// heartbeatEvery is how often it is told that something still runs.
	heartbeatEvery = 10 * time.Second
	// firstHeartbeat is when the first call of a run that takes a while tells that it still runs.
	firstHeartbeat = time.Second
	// planTimeout is when a plugin that neither answers nor fails is given up: no look at the world takes so long.
	planTimeout = 20 * time.Minute
)

var errPlanTimeout = fmt.Errorf("the plugin did not answer within %s", planTimeout)

// beats look after the calls that are going on, thousands of them a second, with one timer.
type beats struct {
	mu    sync.Mutex
	going map[*beat]struct{}
	timer *time.Timer // set while anything is going on
	begun bool        // the first heartbeat was sent
	emit  func(event.Event)
}

// beat is a call that is going on.
type beat struct {
	event   event.Event
	started time.Time
	sent    int                     // how many heartbeats
	giveUp  context.CancelCauseFunc // after planTimeout; nil is never
}

// Start tells every ten seconds that something still runs, until stop is called. The oldest call of a run tells it once after a second.
func (b *beats) Start(ev event.Event, giveUp context.CancelCauseFunc) (stop func()) {
	ev.Type = event.Heartbeat
	one := &beat{event: ev, started: time.Now(), giveUp: giveUp}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.going == nil {
		b.going = map[*beat]struct{}{}
	}
	b.going[one] = struct{}{}
	if b.timer == nil {
		b.timer = time.AfterFunc(time.Second, b.check)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.going, one)
	}
}

// check finds the calls whose time for a heartbeat, or to be given up, has come. An end of a call that comes meanwhile waits for it, so
// that no heartbeat follows the end.
func (b *beats) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.going) == 0 {
		b.timer = nil
		return
	}
	b.beginOldest()
	for one := range b.going {
		elapsed := time.Since(one.started)
		if due := int(elapsed / heartbeatEvery); due > one.sent {
			one.sent, one.event.ElapsedMS = due, elapsed.Milliseconds()
			b.emit(one.event)
		}
		if one.giveUp != nil && elapsed > planTimeout {
			one.giveUp(errPlanTimeout)
		}
	}
	b.timer.Reset(time.Second)
}

// beginOldest sends the first heartbeat of the run, for the call that has gone on longest. It is called with the lock held.
func (b *beats) beginOldest() {
	if b.begun {
		return
	}
	var oldest *beat
	for one := range b.going {
		if oldest == nil || one.started.Before(oldest.started) || one.started.Equal(oldest.started) && one.event.Address < oldest.event.Address {
			oldest = one
		}
	}
	if elapsed := time.Since(oldest.started); elapsed >= firstHeartbeat {
		b.begun = true
		first := oldest.event
		first.ElapsedMS = elapsed.Milliseconds()
		b.emit(first)
	}
}
