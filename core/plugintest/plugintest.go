// Package plugintest is the conformance suite of plugins: it runs any executable, in whatever language it is written,
// through davit's own host code, and says what it does that it should not, and how to mend it.
//
// What it asks for comes from a file of examples beside the plugin (see Examples), or is made of the schema.
package plugintest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/core/pluginhost"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Options say what is tested.
type Options struct {
	Executable pluginhost.Executable
	Examples   *Examples // nil: all are made of the schema
	Version    string    // davit's, told to the plugin
	CacheDir   string    // empty: a fresh one
	// Host is a command that runs HostToKill; the suite kills it and looks what is left. Without it that check does not apply.
	Host pluginhost.Executable
	// Limit bounds each check; 0 means a minute.
	Limit time.Duration
}

// Status says how a check ended.
type Status string

// The statuses.
const (
	Passed       Status = "passed"
	Failed       Status = "failed"
	DoesNotApply Status = "does not apply"
)

// Result is one check of the plugin, or of one of its types.
type Result struct {
	Check  string `json:"check"`
	Type   string `json:"type,omitempty"` // "source.git"; empty for the plugin as a whole
	Status Status `json:"status"`
	// Seen is what was seen, for a failure; for a check that does not apply, why.
	Seen string `json:"seen,omitempty"`
	Mend string `json:"mend,omitempty"` // for a failure: how to mend it
}

// Report is how a plugin did.
type Report struct {
	Plugin       string   `json:"plugin"`
	Version      string   `json:"version"`
	Checks       []Result `json:"checks"`
	Passed       int      `json:"passed"`
	Failed       int      `json:"failed"`
	DoesNotApply int      `json:"does_not_apply"`
}

func (r *Report) add(res Result) {
	r.Checks = append(r.Checks, res)
	switch res.Status {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	default:
		r.DoesNotApply++
	}
}

// outcome is how one check ended. The zero outcome is a pass.
type outcome struct {
	status     Status
	seen, mend string
}

func pass() outcome { return outcome{status: Passed} }

func skip(format string, args ...any) outcome {
	return outcome{status: DoesNotApply, seen: fmt.Sprintf(format, args...)}
}

func fail(mend, format string, args ...any) outcome {
	return outcome{status: Failed, mend: mend, seen: fmt.Sprintf(format, args...)}
}

// suite is one run.
type suite struct {
	options Options
	folder  string // the stack's: an empty one
	cache   string
	rig     *rig
	started *pluginv1.DescribeResponse
	report  *Report
}

// newSuite makes a run that works in a folder.
func newSuite(o Options, folder string) (*suite, error) {
	s := &suite{options: o, folder: filepath.Join(folder, "stack"), cache: o.CacheDir, report: &Report{}}
	if s.cache == "" {
		s.cache = filepath.Join(folder, "cache")
	}
	if err := os.Mkdir(s.folder, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder to test in: %w", err)
	}
	return s, nil
}

// Run runs every check. The error is about the suite's own work: what the plugin does wrong is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Limit <= 0 {
		o.Limit = time.Minute
	}
	if o.Examples == nil {
		o.Examples = &Examples{}
	}
	folder, err := os.MkdirTemp("", "davit-plugin-test-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to test in: %w", err)
	}
	defer os.RemoveAll(folder)
	s, err := newSuite(o, folder)
	if err != nil {
		return nil, err
	}
	s.rig = s.newRig()
	defer s.rig.close()
	if !s.whole(ctx, "start", (*suite).start) {
		for _, c := range wholeChecks {
			s.put(c.name, "", skip("the plugin did not start"))
		}
		return s.report, nil
	}
	for _, c := range wholeChecks[:firstLast] {
		s.whole(ctx, c.name, c.run)
	}
	for _, t := range s.started.GetTypes() {
		if err := s.testType(ctx, t); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if unused := o.Examples.unused(); unused != "" {
		return nil, fmt.Errorf("%s has examples of %s, but the plugin %s has no such type", o.Examples.File, unused, s.report.Plugin)
	}
	for _, c := range wholeChecks[firstLast:] {
		s.whole(ctx, c.name, c.run)
	}
	return s.report, nil
}

// wholeCheck looks at the plugin as a whole.
type wholeCheck struct {
	name string
	run  func(*suite, context.Context) outcome
}

// wholeChecks are in the order in which they run, those from firstLast on after the types: they judge all that was printed.
var wholeChecks = []wholeCheck{
	{"describe", (*suite).describe},
	{"unknown type", (*suite).unknownType},
	{"garbage", (*suite).garbage},
	{"cancel nothing", (*suite).cancelNothing},
	{"several stacks", (*suite).manyStacks},
	{"standard output", (*suite).standardOutput},
	{"end", (*suite).end},
	{"killed host", (*suite).killedHost},
}

const firstLast = 5

func (s *suite) whole(ctx context.Context, name string, run func(*suite, context.Context) outcome) bool {
	ctx, cancel := context.WithTimeout(ctx, s.options.Limit)
	defer cancel()
	o := run(s, ctx)
	s.put(name, "", o)
	return o.status == Passed
}

func (s *suite) put(check, typ string, o outcome) {
	s.report.add(Result{Check: check, Type: typ, Status: o.status, Seen: o.seen, Mend: o.mend})
}

// typeCheck looks at one type.
type typeCheck struct {
	name  string
	kinds []string // none: all
	run   func(*trial, context.Context) outcome
}

var typeChecks = []typeCheck{
	{"plan", plannedKinds, (*trial).planned},
	{"plan again", plannedKinds, (*trial).again},
	{"unknown values", plannedKinds, (*trial).unknowns},
	{"too late", managedKinds, (*trial).late},
	{"apply", managedKinds, (*trial).applied},
	{"empty plan", managedKinds, (*trial).emptied},
	{"change", managedKinds, (*trial).changedBy},
	{"destroy", managedKinds, (*trial).destroyed},
	{"cancel", managedKinds, (*trial).cancelled},
	{"import", managedKinds, (*trial).imports},
	{"resolve", []string{"image"}, (*trial).resolves},
	{"decide", []string{"policy"}, (*trial).decides},
	{"notify", []string{"notification"}, (*trial).notifies},
	{"watch", watchedKinds, (*trial).watches},
	{"error paths", nil, (*trial).paths},
	{"16 MB value", nil, (*trial).large},
	{"1,000 instances", plannedKinds, (*trial).thousand},
	{"concurrent calls", plannedKinds, (*trial).concurrent},
	{"secrets", nil, (*trial).secrets},
}

var (
	managedKinds = []string{"build", "application"}
	// plannedKinds are those whose instances are planned: what is only told of something has none of these checks.
	plannedKinds = []string{"source", "image", "policy", "build", "application"}
	watchedKinds = []string{"source", "image", "build", "application"}
)
