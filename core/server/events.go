package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// beat is how often a stream says that it is still there.
const beat = 15 * time.Second

// listen streams what happens. Each event is one line of JSON after "data: "; "event: status" says that a stack's status is another one now.
func listen(s *Server, r *request) (int, any, error) {
	stack := r.URL.Query().Get("stack")
	if !r.who.may(Get, stack) {
		stack = "" // filtered below
	}
	if stack != "" {
		if _, err := s.options.Loop.Stack(stack); err != nil {
			return 0, nil, err
		}
	}
	rc := http.NewResponseController(r.w)
	_ = rc.SetWriteDeadline(time.Time{})
	_ = rc.SetReadDeadline(time.Time{})
	r.w.Header().Set("Content-Type", "text/event-stream")
	r.w.WriteHeader(http.StatusOK)
	fmt.Fprint(r.w, ": davit\n\n")
	_ = rc.Flush()
	events := s.options.Loop.Subscribe(r.Context(), stack)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return 0, nil, nil
		case <-tick.C:
			_, _ = fmt.Fprint(r.w, ": still here\n\n")
		case e, more := <-events:
			if !more {
				return 0, nil, nil
			}
			if !r.who.may(Get, e.Stack) {
				continue
			}
			text, err := json.Marshal(e)
			if err != nil {
				continue
			}
			name := "event"
			if e.Status {
				name = "status"
			}
			_, _ = fmt.Fprintf(r.w, "event: %s\ndata: %s\n\n", name, text)
		}
		if rc.Flush() != nil {
			return 0, nil, nil
		}
	}
}
