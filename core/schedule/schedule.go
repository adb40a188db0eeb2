// Package schedule reads windows of time such as "Mon-Fri 09:00-16:30" and tells when they are open. It has no clock of its own.
//
// A window has days and times of day, each optional, in this order:
//
//	Mon-Fri 09:00-16:30              days of the week: names, ranges, lists with commas; a range may go over Sunday
//	22:00-06:00                      every day; a time that ends before it begins goes over midnight
//	Sat,Sun                          whole days
//	Mon-Fri 09:00-12:00,13:00-17:00  several times
//	2026-12-20 to 2027-01-03         dates, both included; one date alone is one day
//	12-20 to 01-03                   the same every year
//
// Times are what a clock on the wall of the time zone shows. An hour that the clock skips is in no window, and an hour that it shows twice
// is in its window twice. A time that goes over midnight belongs to the day on which it begins.
package schedule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // small systems and containers have no time zones of their own
)

// Window is a window of time in a time zone. It does not change.
type Window struct {
	text  string
	zone  *time.Location
	days  [7]bool // by time.Weekday; all false when there are dates
	dates *dates
	spans []span
}

// span is a part of a day, in minutes from midnight. An end before the beginning is on the next day.
type span struct{ from, to int }

const wholeDay = 24 * 60

// dates is a range of days, both included. A year of 0 stands for every year.
type dates struct{ from, to date }

type date struct {
	year  int
	month time.Month
	day   int
}

// before compares two dates of the same form.
func (d date) before(o date) bool {
	if d.year != o.year {
		return d.year < o.year
	}
	return d.month < o.month || d.month == o.month && d.day < o.day
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Parse reads a window. zone is the name of a time zone of the IANA database; "" is UTC.
func Parse(text, zone string) (*Window, error) {
	if strings.EqualFold(zone, "local") {
		return nil, errors.New("the time zone must have a name, such as Europe/Berlin: the local time differs from machine to machine")
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone: use a name such as UTC or Europe/Berlin", zone)
	}
	w := &Window{text: strings.Join(strings.Fields(text), " "), zone: location}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, errors.New("the schedule is empty: write days and times, such as \"Mon-Fri 09:00-16:30\"")
	}
	rest, err := w.addDays(fields)
	if err != nil {
		return nil, err
	}
	switch len(rest) {
	case 0:
		w.spans = []span{{0, wholeDay}}
		return w, nil
	case 1:
		return w, w.addTimes(rest[0])
	}
	return nil, fmt.Errorf("%q is too much: a schedule has days and then times, such as \"Mon-Fri 09:00-12:00,13:00-17:00\"", strings.Join(rest[1:], " "))
}

// addDays reads the days at the beginning of a schedule, and returns what follows.
func (w *Window) addDays(fields []string) ([]string, error) {
	first := fields[0]
	switch {
	case strings.Contains(first, ":"):
		w.days = [7]bool{true, true, true, true, true, true, true}
		return fields, nil
	case first[0] >= '0' && first[0] <= '9':
		return w.addDates(fields)
	}
	for part := range strings.SplitSeq(first, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err := weekday(from)
		if err != nil {
			return nil, err
		}
		b, err := weekday(to)
		if err != nil {
			return nil, err
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	return fields[1:], nil
}

func weekday(name string) (int, error) {
	for i, d := range weekdays {
		if strings.EqualFold(name, d) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day: use Mon, Tue, Wed, Thu, Fri, Sat, Sun, or a date such as 2026-12-24", name)
}

func (w *Window) addDates(fields []string) ([]string, error) {
	from, err := parseDate(fields[0])
	if err != nil {
		return nil, err
	}
	to, rest := from, fields[1:]
	if len(rest) > 0 && rest[0] == "to" {
		if len(rest) < 2 {
			return nil, errors.New("a date must follow \"to\"")
		}
		if to, err = parseDate(rest[1]); err != nil {
			return nil, err
		}
		rest = rest[2:]
	}
	switch {
	case (from.year == 0) != (to.year == 0):
		return nil, errors.New("both dates need a year, or neither")
	case from.year != 0 && to.before(from):
		return nil, errors.New("the dates end before they begin: the window never opens")
	}
	w.dates = &dates{from, to}
	return rest, nil
}

func parseDate(s string) (date, error) {
	wrong := fmt.Errorf("%q is not a date: use 2026-12-24, or 12-24 for every year", s)
	parts := strings.Split(s, "-")
	d := date{}
	if len(parts) == 3 {
		year, err := strconv.Atoi(parts[0])
		if err != nil || len(parts[0]) != 4 || year == 0 {
			return d, wrong
		}
		d.year, parts = year, parts[1:]
	}
	if len(parts) != 2 {
		return d, wrong
	}
	month, err1 := strconv.Atoi(parts[0])
	day, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || month < 1 || month > 12 || day < 1 || day > 31 {
		return d, wrong
	}
	d.month, d.day = time.Month(month), day
	year := d.year
	if year == 0 {
		year = 2024 // it has a February 29
	}
	if t := time.Date(year, d.month, d.day, 0, 0, 0, 0, time.UTC); t.Month() != d.month {
		return d, fmt.Errorf("the date %q does not exist: the window never opens", s)
	}
	return d, nil
}

func (w *Window) addTimes(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			return fmt.Errorf("%q is not a range of times: use 09:00-16:30", part)
		}
		a, err := clock(from)
		if err == nil && a == wholeDay {
			err = errors.New("24:00 can only be an end: use 00:00")
		}
		if err != nil {
			return err
		}
		b, err := clock(to)
		if err != nil {
			return err
		}
		if a == b {
			return fmt.Errorf("%s begins and ends at the same time: the window never opens. A whole day is 00:00-24:00", part)
		}
		w.spans = append(w.spans, span{a, b})
	}
	return nil
}

// clock reads a time of day.
func clock(s string) (int, error) {
	wrong := fmt.Errorf("%q is not a time of day: use 00:00 to 24:00", s)
	if len(s) != 5 || s[2] != ':' || strings.ContainsAny(s, "+-") {
		return 0, wrong
	}
	h, err1 := strconv.Atoi(s[:2])
	m, err2 := strconv.Atoi(s[3:])
	if err1 != nil || err2 != nil || h < 0 || m < 0 || m > 59 || h > 24 || h == 24 && m > 0 {
		return 0, wrong
	}
	return h*60 + m, nil
}

// String returns the schedule as it was written, with its time zone.
func (w *Window) String() string { return w.text + " " + w.zone.String() }

// Dated tells whether the window is about dates, and not about days of the week.
func (w *Window) Dated() bool { return w.dates != nil }

// Zone returns the time zone of the window.
func (w *Window) Zone() *time.Location { return w.zone }

// Contains tells whether the window is open at a time.
func (w *Window) Contains(t time.Time) bool {
	t = t.In(w.zone)
	minute := t.Hour()*60 + t.Minute()
	today := w.isDay(t.Date())
	before := time.Date(t.Year(), t.Month(), t.Day()-1, 12, 0, 0, 0, time.UTC)
	yesterday := w.isDay(before.Date())
	for _, s := range w.spans {
		switch {
		case s.from < s.to && today && s.from <= minute && minute < s.to:
			return true
		case s.to < s.from && (today && s.from <= minute || yesterday && minute < s.to):
			return true
		}
	}
	return false
}

// isDay tells whether the window has a time that begins on a day.
func (w *Window) isDay(year int, month time.Month, day int) bool {
	if w.dates == nil {
		return w.days[time.Date(year, month, day, 12, 0, 0, 0, time.UTC).Weekday()]
	}
	from, to := w.dates.from, w.dates.to
	d := date{year, month, day}
	if from.year == 0 {
		d.year = 0
		if to.before(from) { // over the end of the year
			return !d.before(from) || !to.before(d)
		}
	}
	return !d.before(from) && !to.before(d)
}
