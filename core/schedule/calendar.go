package schedule

import (
	"slices"
	"time"
)

// Calendar is when something may be done: while a window of Allow is open, or at any time if there is none, and no window of Deny is.
type Calendar struct{ Allow, Deny []*Window }

// Open tells whether a time is allowed.
func (c *Calendar) Open(t time.Time) bool {
	contains := func(w *Window) bool { return w.Contains(t) }
	return (len(c.Allow) == 0 || slices.ContainsFunc(c.Allow, contains)) && !slices.ContainsFunc(c.Deny, contains)
}

// horizon is how many days Next looks ahead: two years and a bit, so that windows of every year are found.
const horizon = 2*366 + 2

// Next returns the first time from t on that is allowed. It returns false if there is none in the next two years.
func (c *Calendar) Next(t time.Time) (time.Time, bool) { return c.next(t, horizon) }

func (c *Calendar) next(t time.Time, days int) (time.Time, bool) {
	if c.Open(t) {
		return t, true
	}
	for day := range days {
		found, ok := c.firstOf(t, day)
		if !ok {
			continue
		}
		if other, ok := c.firstOf(t, day+1); ok && other.Before(found) { // of another time zone, where the day began earlier
			found = other
		}
		return found, true
	}
	return time.Time{}, false
}

// firstOf finds the first allowed time after t at which a window begins or ends on a day, counted from the day of t.
func (c *Calendar) firstOf(t time.Time, day int) (time.Time, bool) {
	var found time.Time
	try := func(at time.Time) {
		if at.After(t) && (found.IsZero() || at.Before(found)) && c.Open(at) {
			found = at
		}
	}
	for _, w := range slices.Concat(c.Allow, c.Deny) {
		local := t.In(w.zone)
		noon := time.Date(local.Year(), local.Month(), local.Day()+day, 12, 0, 0, 0, w.zone)
		for _, s := range w.spans {
			for _, minute := range []int{s.from, s.to} {
				at := time.Date(noon.Year(), noon.Month(), noon.Day(), 0, minute, 0, 0, w.zone)
				try(at)
				for _, shift := range []time.Duration{30 * time.Minute, time.Hour} { // a clock that was set back shows this time twice
					try(at.Add(-shift))
					try(at.Add(shift))
				}
			}
		}
		midnight := time.Date(noon.Year(), noon.Month(), noon.Day()+1, 0, 0, 0, 0, w.zone)
		try(midnight)
		if start, _ := midnight.ZoneBounds(); !start.IsZero() && midnight.Sub(start) < 48*time.Hour {
			try(start) // the clock was set, maybe into a window
		}
	}
	return found, !found.IsZero()
}

// Never tells that the windows which return every week allow no time at all. It looks at nothing but the calendar: dates are left out.
func (c *Calendar) Never() bool {
	weekly := &Calendar{}
	for _, w := range c.Allow {
		if w.Dated() {
			return false
		}
		weekly.Allow = append(weekly.Allow, w)
	}
	for _, w := range c.Deny {
		if !w.Dated() {
			weekly.Deny = append(weekly.Deny, w)
		}
	}
	for _, month := range []time.Month{time.January, time.July} { // time zones may differ in summer
		if _, ok := weekly.next(time.Date(2024, month, 10, 0, 0, 0, 0, time.UTC), 9); ok {
			return false
		}
	}
	return true
}
