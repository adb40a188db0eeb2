package view

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/internal/text"
)

// Status is the last line of a terminal while a plan is made: what was observed and planned so far, and what is still being
// waited for. It is written anew a few times a second, and removed by Stop.
type Status struct {
	w     io.Writer
	width int
	next  event.Sink // prints other events, with the status line out of the way

	mu                sync.Mutex // of what follows
	begun             time.Time
	observed, planned int
	waiting           string // the instance of the newest heartbeat
	drawn             bool
	stop              chan struct{} // nil while there is no line
}

// statusEvery is how often the line is written anew. The first time is also the time that a plan may take without one.
const statusEvery = 300 * time.Millisecond

// NewStatus returns a status line for a terminal of that many columns. Start shows it. Events that are not about planning go to
// next.
func NewStatus(w io.Writer, columns int, next event.Sink) *Status {
	return &Status{w: w, width: columns, next: next}
}

// Start shows the line until Stop is called. Without a terminal s is nil, and nothing is shown.
func (s *Status) Start() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		s.begun, s.stop = time.Now(), make(chan struct{})
		go s.run(s.stop)
	}
}

func (s *Status) run(stop <-chan struct{}) {
	ticks := time.NewTicker(statusEvery)
	defer ticks.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticks.C:
			s.mu.Lock()
			s.draw()
			s.mu.Unlock()
		}
	}
}

// Sink counts what was planned, and passes on every other event.
func (s *Status) Sink(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		switch e.Type {
		case event.Observed:
			s.observed++
		case event.Planned, event.PlanFailed:
			s.planned++
		case event.Heartbeat:
			s.waiting = e.Address
			return // the line tells it
		}
		s.clear()
	}
	s.next(e)
}

// Stop removes the line. Later events go to next.
func (s *Status) Stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		return
	}
	close(s.stop)
	s.stop = nil
	s.clear()
}

func (s *Status) draw() {
	if s.stop == nil {
		return
	}
	line := "Planning: starting plugins"
	if s.observed+s.planned > 0 {
		line = fmt.Sprintf("Planning: %d observed, %d planned", s.observed, s.planned)
	}
	if s.waiting != "" {
		line += ", waiting for " + text.Clean(s.waiting)
	}
	line += fmt.Sprintf(" (%s)", time.Since(s.begun).Round(time.Second))
	fmt.Fprint(s.w, "\r"+text.Shorten(line, max(10, s.width-4))+"\x1b[K")
	s.drawn = true
}

func (s *Status) clear() {
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.drawn = false
	}
}
