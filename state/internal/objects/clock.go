package objects

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Clock follows the clock of a server by the dates of its answers, so that a lease expires at the same
// moment for all who use the server, however their own clocks go. The zero value is this machine's clock.
type Clock struct{ offset atomic.Int64 }

// Now returns the estimated time of the server.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Observe adjusts the clock by an answer: its date was true at some moment between sent and received, with an error of up to
// two seconds, because servers truncate it to the second and update it once a second. The offset stays zero while this
// machine's clock is within that error.
func (c *Clock) Observe(date, sent, received time.Time) {
	least, most := date.Add(-time.Second).Sub(received), date.Add(2*time.Second).Sub(sent)
	var offset time.Duration
	switch {
	case least > 0:
		offset = least
	case most < 0:
		offset = most
	}
	c.offset.Store(int64(offset))
}

// Wrap returns a transport whose answers adjust the clock.
func (c *Clock) Wrap(next http.RoundTripper) http.RoundTripper { return &observed{c, next} }

type observed struct {
	clock *Clock
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := o.next.RoundTrip(r)
	if err == nil {
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			o.clock.Observe(date, sent, time.Now())
		}
	}
	return resp, err
}
