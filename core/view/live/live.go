// Package live prints the status of the stacks of a loop. It decides nothing.
package live

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/internal/text"
)

// Stacks prints a line for each stack.
func Stacks(w io.Writer, list []status.Stack, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STACK\tREADY\tPHASE\tREVISION\tINSTANCES\tWAITING\tFAILED\tLAST LOOK\tMESSAGE")
	for i := range list {
		s := &list[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", text.Clean(s.Name), yesNo(s.Ready), s.Phase, shortDigest(s.Revision), s.Counts.Instances, s.Counts.Waiting,
			s.Counts.Failed, lastPass(s, now), text.Shorten(text.Clean(s.Message), 80))
	}
	_ = t.Flush()
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func shortDigest(s string) string {
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(12, len(s))]
}

func lastPass(s *status.Stack, now time.Time) string {
	if s.Last == nil {
		return "-"
	}
	return ago(s.Last.Begun, now)
}

func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return humanize.RelTime(at, now, "ago", "from now")
}

// Stack prints a stack with its instances.
func Stack(w io.Writer, s *status.Stack, now time.Time) {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	fmt.Fprintf(w, "%s: %s, %s\n", text.Clean(s.Name), ready, s.Phase)
	row(w, "source", s.Source)
	row(w, "revision", s.Revision)
	row(w, "files", s.FilesError)
	row(w, "message", s.Message)
	if s.Suspension != nil {
		row(w, "suspended", "by "+s.Suspension.Who+" "+ago(s.Suspension.At, now))
	}
	if s.Lease != nil {
		row(w, "lock", lease(s.Lease))
	}
	if p := s.Last; p != nil {
		row(w, "last", fmt.Sprintf("%s, by %s: %s looked at of %d, %s; %d ms planning, %d ms applying", ago(p.Begun, now), strings.Join(p.Triggers, ", "),
			text.Count(p.Looked, "instance"), p.Instances, done(p), p.PlanMS, p.ApplyMS))
	}
	if !s.Next.IsZero() {
		row(w, "next", ago(s.Next, now))
	}
	if len(s.Instances) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INSTANCE\tSTATE\tHEALTH\tIS\tLOOKED AT\tMESSAGE")
	for i := range s.Instances {
		in := &s.Instances[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", text.Clean(in.Address), in.State, cmp.Or(text.Clean(in.Health), "-"), cmp.Or(is(in), "-"), ago(in.Looked, now),
			text.Shorten(text.Clean(cmp.Or(running(in), in.Message)), 100))
	}
	_ = t.Flush()
}

func done(p *status.Pass) string {
	if p.Error != "" {
		return "error"
	}
	s := fmt.Sprintf("%d changes, %d held back, %d done, %d failed", p.Changes, p.Held, p.Done, p.Failed)
	if p.Cancelled > 0 {
		s += fmt.Sprintf(", %d cancelled", p.Cancelled)
	}
	return s
}

func lease(l *status.Lease) string {
	if l.Own {
		return "held by this server"
	}
	return fmt.Sprintf("held by %s (%s, process %d) until %s", l.Who, l.What, l.PID, l.Expires.Local().Format(time.TimeOnly))
}

// is says what an instance is: its revision, tags, choice or digest.
func is(in *status.Instance) string {
	switch {
	case in.Tags != nil:
		return text.Count(*in.Tags, "tag")
	case in.Chosen != "":
		return text.Clean(text.Ref(in.Chosen))
	case in.Digest != "":
		return shortDigest(in.Digest)
	}
	return text.Clean(text.Revision(in.Revision))
}

func running(in *status.Instance) string {
	if in.Running == nil {
		return ""
	}
	return strings.TrimSpace(in.Running.Action + " " + in.Running.Message)
}

// Instance prints all that is known of an instance.
func Instance(w io.Writer, in *status.Instance, now time.Time) {
	fmt.Fprintf(w, "%s: %s\n", text.Clean(in.Address), in.State)
	row(w, "message", in.Message)
	row(w, "health", in.Health)
	row(w, "revision", in.Revision)
	if in.Tags != nil {
		row(w, "tags", fmt.Sprint(*in.Tags))
	}
	row(w, "chosen", in.Chosen)
	row(w, "because", in.Reason)
	row(w, "digest", in.Digest)
	row(w, "looked at", ago(in.Looked, now))
	if r := in.Running; r != nil {
		row(w, "running", fmt.Sprintf("%s since %s %s", r.Action, ago(r.Since, now), r.Message))
	}
	if c := in.Change; c != nil {
		row(w, "changed", fmt.Sprintf("%s %s, by %s", c.Action, ago(c.At, now), strings.Join(c.Triggers, ", ")))
		row(w, "causes", strings.Join(c.Causes, ", "))
		for _, r := range c.Reasons {
			row(w, "reason", r)
		}
		row(w, "error", c.Error)
	}
	if x := in.Wait; x != nil {
		row(w, "waits", fmt.Sprintf("%s because of %s, since %s", x.Action, strings.Join(x.Causes, ", "), ago(x.Since, now)))
		for _, i := range x.Images {
			row(w, "image", i)
		}
		for _, r := range x.Reasons {
			row(w, "reason", r)
		}
		for _, f := range x.For {
			row(w, "for", waitLine(f))
		}
		row(w, "digest", x.Digest)
	}
	if b := in.Backoff; b != nil {
		row(w, "back-off", fmt.Sprintf("%s, next try %s: %s", text.Count(b.Failures, "failure"), ago(b.Next, now), b.Error))
	}
}

func waitLine(f plan.Wait) string {
	parts := []string{string(f.What)}
	if f.Gate != "" {
		parts = append(parts, "gate "+f.Gate)
	}
	if f.Address != "" {
		parts = append(parts, f.Address)
	}
	if !f.Until.IsZero() {
		parts = append(parts, "until "+f.Until.Local().Format(time.DateTime))
	}
	if f.Reason != "" {
		parts = append(parts, f.Reason)
	}
	return strings.Join(slices.Compact(parts), ", ")
}

func row(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "  %-10s %s\n", name, text.Clean(value))
	}
}
