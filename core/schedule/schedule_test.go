package schedule_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/schedule"
)

func window(t testing.TB, text, zone string) *schedule.Window {
	t.Helper()
	w, err := schedule.Parse(text, zone)
	if err != nil {
		t.Fatalf("%q in %q: %v", text, zone, err)
	}
	return w
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// 2026-11-30 is a Monday. Berlin is at +01:00 in winter and +02:00 in summer, from 2026-03-29 01:00Z to 2026-10-25 01:00Z.
func TestContains(t *testing.T) {
	for _, c := range []struct {
		text, zone, at string
		want           bool
	}{
		{"Mon-Fri 09:00-16:30", "", "2026-11-30T09:00:00Z", true},
		{"Mon-Fri 09:00-16:30", "", "2026-11-30T08:59:59Z", false},
		{"Mon-Fri 09:00-16:30", "", "2026-11-30T16:29:59Z", true},
		{"Mon-Fri 09:00-16:30", "", "2026-11-30T16:30:00Z", false},
		{"Mon-Fri 09:00-16:30", "", "2026-11-29T12:00:00Z", false},
		{"mon,wed 09:00-16:30", "", "2026-12-02T12:00:00Z", true},
		{"mon,wed 09:00-16:30", "", "2026-12-01T12:00:00Z", false},
		{"Fri-Mon", "", "2026-11-29T23:59:59Z", true},
		{"Fri-Mon", "", "2026-12-01T00:00:00Z", false},
		{"Mon-Sun", "", "2026-12-01T00:00:00Z", true},
		{"09:00-12:00,13:00-17:00", "", "2026-11-29T12:30:00Z", false},
		{"09:00-12:00,13:00-17:00", "", "2026-11-29T13:00:00Z", true},
		{"00:00-24:00", "", "2026-11-29T23:59:59Z", true},
		// Over midnight: the night belongs to the day on which it begins.
		{"Fri 22:00-06:00", "", "2026-11-27T22:00:00Z", true},
		{"Fri 22:00-06:00", "", "2026-11-28T05:59:00Z", true},
		{"Fri 22:00-06:00", "", "2026-11-28T06:00:00Z", false},
		{"Fri 22:00-06:00", "", "2026-11-27T05:00:00Z", false},
		{"22:00-00:00", "", "2026-11-27T23:59:00Z", true},
		{"22:00-00:00", "", "2026-11-27T00:00:00Z", false},
		// Another zone has another day and another hour.
		{"Mon 09:00-10:00", "Europe/Berlin", "2026-11-30T08:30:00Z", true},
		{"Mon 09:00-10:00", "Europe/Berlin", "2026-07-06T07:30:00Z", true},
		{"Mon 09:00-10:00", "Europe/Berlin", "2026-07-06T08:30:00Z", false},
		{"Mon", "Pacific/Auckland", "2026-11-29T12:00:00Z", true},
		// Clocks are set forward: 02:30 does not exist on that day, and what is left of the window opens at 03:00.
		{"02:30-04:00", "Europe/Berlin", "2026-03-29T00:59:59Z", false},
		{"02:30-04:00", "Europe/Berlin", "2026-03-29T01:00:00Z", true},
		{"02:00-03:00", "Europe/Berlin", "2026-03-29T01:00:00Z", false},
		// Clocks are set back: 02:30 exists twice.
		{"02:30-02:45", "Europe/Berlin", "2026-10-25T00:30:00Z", true},
		{"02:30-02:45", "Europe/Berlin", "2026-10-25T01:00:00Z", false},
		{"02:30-02:45", "Europe/Berlin", "2026-10-25T01:30:00Z", true},
		// Dates.
		{"2026-12-24", "Europe/Berlin", "2026-12-23T23:00:00Z", true},
		{"2026-12-24", "Europe/Berlin", "2026-12-24T23:00:00Z", false},
		{"2026-12-20 to 2027-01-03", "", "2027-01-03T23:59:59Z", true},
		{"2026-12-20 to 2027-01-03", "", "2027-01-04T00:00:00Z", false},
		{"2026-12-20 to 2027-01-03", "", "2027-12-25T00:00:00Z", false},
		{"12-20 to 01-03", "", "2031-12-25T00:00:00Z", true},
		{"12-20 to 01-03", "", "2032-01-03T12:00:00Z", true},
		{"12-20 to 01-03", "", "2032-01-04T12:00:00Z", false},
		{"02-29", "", "2028-02-29T12:00:00Z", true},
		{"2026-12-31 22:00-02:00", "", "2027-01-01T01:00:00Z", true},
		{"2026-12-31 22:00-02:00", "", "2026-12-31T01:00:00Z", false},
	} {
		if got := window(t, c.text, c.zone).Contains(moment(t, c.at)); got != c.want {
			t.Errorf("%q in %q contains %s: %v", c.text, c.zone, c.at, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"", "", "the schedule is empty"},
		{"Mon", "Europe/Berlyn", `"Europe/Berlyn" is not a time zone`},
		{"Mon", "Local", "differs from machine to machine"},
		{"Mon", "../../etc/passwd", "is not a time zone"},
		{"Mon-Fry 09:00-10:00", "", `"Fry" is not a day`},
		{"Monday", "", `"Monday" is not a day`},
		{"Mon,", "", `"" is not a day`},
		{"Mon 9-10", "", `"9" is not a time of day`},
		{"Mon 09:00", "", "is not a range of times"},
		{"Mon 09:60-10:00", "", `"09:60" is not a time of day`},
		{"Mon 09:00-24:01", "", `"24:01" is not a time of day`},
		{"Mon 24:00-08:00", "", "24:00 can only be an end"},
		{"Mon 09:00-09:00", "", "never opens"},
		{"Mon 09:00-10:00 Tue", "", `"Tue" is too much`},
		{"2026-02-30", "", "does not exist"},
		{"2026-13-01", "", "is not a date"},
		{"26-12-24", "", "is not a date"},
		{"2026-12-24 to", "", "a date must follow"},
		{"2026-12-24 to 12-31", "", "both dates need a year"},
		{"2026-12-24 to 2026-12-01", "", "never opens"},
		{"+1:00-02:00", "", "is not a time of day"},
	} {
		if _, err := schedule.Parse(c.text, c.zone); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v, want %q", c.text, c.zone, err, c.want)
		}
	}
}

func calendar(t testing.TB, allow, deny []string, zone string) *schedule.Calendar {
	c := &schedule.Calendar{}
	for _, s := range allow {
		c.Allow = append(c.Allow, window(t, s, zone))
	}
	for _, s := range deny {
		c.Deny = append(c.Deny, window(t, s, zone))
	}
	return c
}

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny []string
		zone        string
		at, want    string // "": never
	}{
		"open already":                  {[]string{"Mon-Fri 09:00-16:30"}, nil, "", "2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"},
		"no window":                     {nil, nil, "", "2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"},
		"later today":                   {[]string{"Mon-Fri 09:00-16:30"}, nil, "", "2026-11-30T08:00:00Z", "2026-11-30T09:00:00Z"},
		"over the weekend":              {[]string{"Mon-Fri 09:00-16:30"}, nil, "", "2026-11-27T16:30:00Z", "2026-11-30T09:00:00Z"},
		"the first of several":          {[]string{"Sat 10:00-11:00", "Thu 09:00-10:00"}, nil, "", "2026-11-30T08:00:00Z", "2026-12-03T09:00:00Z"},
		"a freeze ends":                 {nil, []string{"2026-12-20 to 2027-01-03"}, "", "2026-12-24T00:00:00Z", "2027-01-04T00:00:00Z"},
		"a freeze ends in a night":      {[]string{"Mon-Fri 09:00-16:30"}, []string{"2026-12-20 to 2027-01-03"}, "", "2026-12-24T00:00:00Z", "2027-01-04T09:00:00Z"},
		"two freezes meet":              {nil, []string{"2026-12-20 to 2026-12-31", "2027-01-01 to 2027-01-03"}, "", "2026-12-24T00:00:00Z", "2027-01-04T00:00:00Z"},
		"a night":                       {[]string{"Fri 22:00-06:00"}, nil, "", "2026-11-28T06:00:00Z", "2026-12-04T22:00:00Z"},
		"a freeze in a night":           {[]string{"Fri 22:00-06:00"}, []string{"00:00-02:00"}, "", "2026-11-28T00:30:00Z", "2026-11-28T02:00:00Z"},
		"once a year":                   {[]string{"02-29"}, nil, "", "2026-11-28T00:30:00Z", "2028-02-29T00:00:00Z"},
		"never again":                   {[]string{"2026-01-01"}, nil, "", "2026-11-28T00:30:00Z", ""},
		"clocks are set forward":        {[]string{"02:30-04:00"}, nil, "Europe/Berlin", "2026-03-28T23:30:00Z", "2026-03-29T01:00:00Z"},
		"the hour is skipped":           {[]string{"02:00-03:00"}, nil, "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-30T00:00:00Z"},
		"clocks are set back":           {[]string{"02:30-02:45"}, nil, "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z"},
		"the second time":               {[]string{"02:30-02:45"}, nil, "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		"summer time":                   {[]string{"Mon 09:00-10:00"}, nil, "Europe/Berlin", "2026-07-05T00:00:00Z", "2026-07-06T07:00:00Z"},
		"half an hour, Lord Howe":       {[]string{"02:00-02:10"}, nil, "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-04T15:00:00Z"},
		"a deny window of every second": {[]string{"Mon-Fri 09:00-16:30"}, []string{"Mon-Thu"}, "", "2026-11-30T09:00:00Z", "2026-12-04T09:00:00Z"},
	} {
		cal := calendar(t, c.allow, c.deny, c.zone)
		got, ok := cal.Next(moment(t, c.at))
		if ok != (c.want != "") || ok && !got.Equal(moment(t, c.want)) {
			t.Errorf("%s: %s, %v; want %s", name, got.UTC().Format(time.RFC3339), ok, c.want)
		}
	}
}

// Windows of several time zones: the first one that opens anywhere is found.
func TestNextOfSeveralZones(t *testing.T) {
	c := &schedule.Calendar{Allow: []*schedule.Window{window(t, "Tue 22:00-23:00", "America/Los_Angeles"), window(t, "Wed 00:30-01:00", "Pacific/Auckland")}}
	got, ok := c.Next(moment(t, "2026-11-30T23:00:00Z"))
	if want := moment(t, "2026-12-01T11:30:00Z"); !ok || !got.Equal(want) {
		t.Errorf("%v, %v; want %v", got, ok, want)
	}
}

func TestNever(t *testing.T) {
	for name, c := range map[string]struct {
		allow, deny []string
		want        bool
	}{
		"no window":             {nil, nil, false},
		"the deny is larger":    {[]string{"Mon 09:00-10:00"}, []string{"Mon-Fri"}, true},
		"the rest of it":        {[]string{"Mon 09:00-10:00"}, []string{"Mon 09:00-09:59"}, false},
		"denied for ever":       {nil, []string{"Mon-Sun"}, true},
		"denied in two parts":   {nil, []string{"Mon-Sun 00:00-12:00", "12:00-24:00"}, true},
		"the night":             {[]string{"Fri 22:00-06:00"}, []string{"Fri", "Sat 00:00-06:00"}, true},
		"dates are left out":    {[]string{"Mon"}, []string{"2026-01-01 to 2099-12-31"}, false},
		"a date that is denied": {[]string{"2026-12-24"}, []string{"Mon-Sun"}, false},
	} {
		if got := calendar(t, c.allow, c.deny, "Europe/Berlin").Never(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whatever the windows are: what Next finds is open, and a walk minute by minute finds nothing before it.
func TestNextIsTheFirst(t *testing.T) {
	texts := []string{"Mon-Fri 09:00-16:30", "02:30-04:00", "Fri 22:00-06:00", "Sat,Sun", "02:00-02:10,23:50-00:10", "03-29", "10-25 to 10-26 01:30-03:30", "Sun 02:30-02:45"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland"}
	starts := []string{"2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z", "2026-04-03T00:00:00Z", "2026-11-30T00:00:00Z"}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string, least int) []*schedule.Window {
			var list []*schedule.Window
			for range rapid.IntRange(least, 2).Draw(rt, label) {
				list = append(list, window(t, rapid.SampledFrom(texts).Draw(rt, "schedule"), rapid.SampledFrom(zones).Draw(rt, "zone")))
			}
			return list
		}
		c := &schedule.Calendar{Allow: draw("allow", 1), Deny: draw("deny", 0)}
		from := moment(t, rapid.SampledFrom(starts).Draw(rt, "start")).Add(time.Duration(rapid.IntRange(0, 72*60).Draw(rt, "minutes")) * time.Minute)
		got, ok := c.Next(from)
		for at := from; at.Before(from.Add(5 * 24 * time.Hour)); at = at.Add(time.Minute) {
			if c.Open(at) {
				if !ok || !got.Equal(at) {
					rt.Fatalf("from %s: %s, %v; open at %s", from, got.UTC(), ok, at)
				}
				return
			}
		}
		if ok && got.Before(from.Add(5*24*time.Hour)) {
			rt.Fatalf("from %s: %s is found, and is not open", from, got.UTC())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("Mon-Fri 09:00-16:30", "Europe/Berlin")
	f.Add("2026-12-20 to 2027-01-03 22:00-06:00", "")
	f.Add("12-20 to 01-03", "UTC")
	f.Fuzz(func(t *testing.T, text, zone string) {
		w, err := schedule.Parse(text, zone)
		if err != nil {
			return
		}
		c := &schedule.Calendar{Allow: []*schedule.Window{w}}
		c.Never()
		now := moment(t, "2026-11-30T10:00:00Z")
		if at, ok := c.Next(now); ok && !w.Contains(at) {
			t.Errorf("%q opens at %s, and is closed then", text, at)
		}
	})
}
