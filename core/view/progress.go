package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

// Progress returns a sink that prints each event as a line when it happens. Lines of operations that run at the same time are
// not mixed. With Options.Fold the items of an operation are counted, and listed only when it fails.
func Progress(w io.Writer, o Options) event.Sink {
	p := &progress{w: w, palette: palette{o.Color}, o: o, items: map[string]*itemLog{}}
	return p.print
}

// progress is the state of a sink that prints lines.
type progress struct {
	palette
	o     Options
	mu    sync.Mutex // of what follows
	w     io.Writer
	items map[string]*itemLog // by address; of running operations, with Options.Fold
}

// itemLog is the last line of each item of an operation, in the order in which they began.
type itemLog struct {
	keys []string
	last map[string]string
}

func (p *progress) print(e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := progressLine(p.palette, e, p.o.Verbose)
	if p.o.Fold && !p.o.Verbose {
		switch e.Type {
		case event.Item:
			p.fold(e, line)
			return
		case event.OperationDone, event.OperationFailed:
			line = p.unfold(e, line)
		}
	}
	if line != "" {
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) fold(e event.Event, line string) {
	log := p.items[e.Address]
	if log == nil {
		log = &itemLog{last: map[string]string{}}
		p.items[e.Address] = log
	}
	if _, known := log.last[e.Item]; !known {
		log.keys = append(log.keys, e.Item)
	}
	log.last[e.Item] = line
}

// unfold returns the last line of an operation with the number of its items. The items of a failed one are listed before it.
func (p *progress) unfold(e event.Event, line string) string {
	log := p.items[e.Address]
	if log == nil {
		return line
	}
	delete(p.items, e.Address)
	if e.Type == event.OperationDone {
		return line + " (" + text.Count(len(log.keys), "item") + ")"
	}
	var lines []string
	for _, key := range log.keys[:min(few, len(log.keys))] {
		lines = append(lines, log.last[key])
	}
	if n := len(log.keys) - few; n > 0 {
		lines = append(lines, p.bold(text.Clean(e.Address))+": and "+text.Count(n, "more item"))
	}
	return strings.Join(append(lines, line), "\n")
}

// working are the words for a running action.
var working = map[string]string{
	"create": "creating", "update": "updating", "replace": "replacing", "delete": "deleting", "build": "building", "adopt": "adopting", "forget": "forgetting",
	"delete_old": "deleting the old one", "delete_new": "deleting the unfinished new one", "hold": "holding",
}

// finished are the words for a finished action.
var finished = map[string]string{
	"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "build": "built", "adopt": "adopted", "forget": "forgotten", "delete_old": "old one deleted", "delete_new": "unfinished new one deleted", "hold": "held",
}

func progressLine(p palette, e event.Event, verbose bool) string {
	head := p.bold(text.Clean(e.Address)) + ": "
	action := plan.Action(e.Action)
	switch e.Type {
	case event.OperationStart:
		return head + p.action(action, working[e.Action]) + " ..."
	case event.Log:
		if e.Stream != "" {
			return head + p.faint(text.Clean(e.Stream)+": ") + text.Clean(e.Message)
		}
		return head + text.Clean(e.Message)
	case event.Progress:
		if e.Total > 0 {
			return head + fmt.Sprintf("%s (%d of %d)", text.Clean(e.Message), e.Done, e.Total)
		}
		return head + text.Clean(e.Message)
	case event.Item:
		line := head + text.Clean(e.Item) + ": " + text.Clean(e.Status)
		if e.Message != "" {
			line += ": " + text.Clean(e.Message)
		}
		return line
	case event.Heartbeat:
		doing := working[e.Action]
		if doing == "" {
			doing = "planning"
		}
		return head + p.faint(fmt.Sprintf("still %s after %s", doing, elapsed(e.ElapsedMS)))
	case event.OperationDone:
		line := head + p.action(action, finished[e.Action]) + " in " + elapsed(e.ElapsedMS)
		if e.Message != "" {
			line += ", " + text.Clean(e.Message)
		}
		return line
	case event.OperationFailed:
		return head + p.action(plan.Delete, "FAILED") + " after " + elapsed(e.ElapsedMS)
	case event.OperationSkipped:
		return head + p.action(plan.Update, "not started") + ": " + text.Clean(e.Message)
	case event.Observed, event.Planned:
		if verbose {
			return head + text.Clean(e.Message)
		}
	case event.Diagnostics, event.Summary:
	}
	return ""
}

func elapsed(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d > time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// JSONEvents returns a sink that writes each event as a line of JSON: schemas/event.schema.json describes it.
func JSONEvents(w io.Writer) event.Sink {
	var mu sync.Mutex
	return func(e event.Event) {
		b, err := json.Marshal(e)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s\n", b)
	}
}

// Result prints the outcomes of an apply: done, failed, not started.
func Result(w io.Writer, r *event.Result, o Options) {
	p := palette{o.Color}
	group := func(title string, list []event.Outcome, a plan.Action) {
		if len(list) == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\n", p.action(a, title))
		for _, alike := range foldOutcomes(list) {
			first := alike[0]
			addresses := make([]string, len(alike))
			for i, x := range alike {
				addresses[i] = x.Address
			}
			line := fmt.Sprintf("  %s %s", symbols[plan.Action(first.Action)], some(addresses))
			if reason := outcomeText(first); reason != "" {
				line += ": " + text.Clean(reason)
			}
			fmt.Fprintln(w, line)
			if first.Hint != "" {
				fmt.Fprintf(w, "      %s\n", p.faint(text.Clean(first.Hint)))
			}
		}
	}
	if len(r.Failed) > 0 || len(r.NotStarted) > 0 {
		group("Done:", r.Done, plan.Create)
		group("Failed:", r.Failed, plan.Delete)
		group("Not started:", r.NotStarted, plan.Update)
	}
	fmt.Fprintf(w, "\n%s\n", p.bold(fmt.Sprintf("Apply: %d done, %d failed, %d not started.", len(r.Done), len(r.Failed), len(r.NotStarted))+turnedOut(r)))
}

// Waiting says what of a plan was left out because it waits, and how to approve it.
func Waiting(w io.Writer, p *plan.Plan, o Options) {
	if len(p.Waiting) == 0 {
		return
	}
	colors := palette{o.Color}
	fmt.Fprintf(w, "\n%s\n", colors.action(plan.Update, "Left out:"))
	for i := range p.Waiting {
		x := &p.Waiting[i]
		fmt.Fprintf(w, "  %s %s %s\n", symbols[x.Change.Action], text.Clean(x.Change.Address), waitingLine(x))
		if s := approveLine(p, x); s != "" {
			fmt.Fprintf(w, "      %s\n", colors.faint(s))
		}
	}
}

// outcomeText returns the error of a failed outcome, or the reason why it was not started.
func outcomeText(x event.Outcome) string {
	return cmp.Or(strings.TrimPrefix(x.Error, x.Address+": "), x.Reason)
}

// foldOutcomes groups outcomes that differ in their address only, in the order of the first of each group. Successful outcomes
// are not grouped: each address is printed.
func foldOutcomes(list []event.Outcome) [][]event.Outcome {
	var out [][]event.Outcome
	at := map[event.Outcome]int{}
	for _, x := range list {
		reason := strings.ReplaceAll(outcomeText(x), x.Address, "\x00")
		key := event.Outcome{Action: x.Action, Error: reason, Hint: strings.ReplaceAll(x.Hint, x.Address, "\x00")}
		if i, seen := at[key]; seen && reason != "" {
			out[i] = append(out[i], x)
			continue
		}
		at[key] = len(out)
		out = append(out, []event.Outcome{x})
	}
	return out
}

// turnedOut counts the instances that the plan could not decide on and that needed no change.
func turnedOut(r *event.Result) string {
	if len(r.Unchanged) == 0 {
		return ""
	}
	return fmt.Sprintf(" %d needed no change.", len(r.Unchanged))
}

// StateList prints the addresses in a state, a line each. Damaged, partial and held records are marked.
func StateList(w io.Writer, s *state.Snapshot, addresses []string) {
	for _, a := range addresses {
		line := text.Clean(a)
		switch rec, readable := s.Records[a]; {
		case !readable:
			line += "  (damaged)"
		case rec.Status == state.StatusPartial:
			line += "  (partial)"
		}
		if h := s.Records[a].Hold; h != nil {
			line += fmt.Sprintf("  (held at revision %d)", h.Revision)
		}
		fmt.Fprintln(w, line)
	}
}

// StateShow prints one record.
func StateShow(w io.Writer, r state.Record, o Options) {
	p := palette{o.Color}
	fmt.Fprintln(w, p.bold(text.Clean(r.Address)))
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-12s %s\n", name, value)
		}
	}
	row("status", r.Status)
	row("plugin", text.Clean(r.Plugin))
	row("updated", r.Updated.Format(time.RFC3339))
	if h := r.Hold; h != nil {
		row("hold", holdLine(plan.Change{Address: r.Address, Hold: &plan.Hold{Revision: h.Revision, Who: h.Who, Reason: h.Reason, Since: h.Since}}))
	}
	row("depends on", text.Clean(strings.Join(r.DependsOn, ", ")))
	block := func(title string, raw json.RawMessage) {
		var v plan.Value
		var attrs map[string]json.RawMessage
		if json.Unmarshal(raw, &v) != nil || json.Unmarshal(v.Value, &attrs) != nil || len(attrs) == 0 {
			return
		}
		fmt.Fprintf(w, "  %s\n", title)
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			value := fieldValue(attrs[name])
			for _, s := range v.Sensitive {
				if s == name {
					value = text.Sensitive
				}
			}
			if value != "null" {
				fmt.Fprintf(w, "    %-14s %s\n", name, value)
			}
		}
	}
	block("arguments", r.Config)
	block("outputs", r.Outputs)
}
