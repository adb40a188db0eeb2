package buildx

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/davit-sh/davit/sdk"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
)

// lastLines is how many lines of a step are kept to be shown if it fails.
const lastLines = 20

// progress streams what BuildKit does, and remembers what it needs to explain a failure. What it shows holds no secret.
type progress struct {
	log  func(stream, line string)
	hide *strings.Replacer

	mu       sync.Mutex
	steps    map[digest.Digest]*step
	warnings map[string]bool
	failed   *step
	line     int // of the Dockerfile, where it failed; 0 when not known
}

type step struct {
	stream, name string
	quiet        bool // BuildKit's own doings: what it loads before the first step
	started      bool
	rest         string // a line that is not ended
	lines        []string
	err          string
}

func newProgress(ctx context.Context, secrets []secret, c Config) *progress {
	return &progress{
		log:  func(stream, line string) { sdk.Log(ctx, stream, line) },
		hide: mask(secrets, c), steps: map[digest.Digest]*step{}, warnings: map[string]bool{},
	}
}

// status tells what happened since the last one.
func (p *progress) status(s *client.SolveStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range s.Vertexes {
		p.vertex(v)
	}
	for _, l := range s.Logs {
		if st := p.steps[l.Vertex]; st != nil {
			p.output(st, string(l.Data))
		}
	}
	for _, v := range s.Vertexes {
		if st := p.steps[v.Digest]; v.Completed != nil {
			p.end(st)
		}
	}
	for _, w := range s.Warnings {
		// Each platform warns of the same.
		if text := p.hide.Replace(string(w.Short)); text != "" && !p.warnings[text] {
			p.warnings[text] = true
			p.log("warning", text)
		}
	}
}

func (p *progress) vertex(v *client.Vertex) {
	st := p.step(v)
	switch {
	case v.Error != "" && !strings.Contains(v.Error, context.Canceled.Error()):
		st.err = p.hide.Replace(v.Error)
		if p.failed == nil {
			p.failed = st
		}
	case st.quiet:
	case v.Cached && !st.started:
		st.started = true
		p.log(st.stream, st.name+" (cached)")
	case v.Started != nil && !st.started:
		st.started = true
		p.log(st.stream, st.name)
	}
}

// stepName is how BuildKit names the steps of a Dockerfile: "[linux/arm64 3/5] RUN make".
var stepName = regexp.MustCompile(`(?s)^\[([^\]]+)\] (.*)$`)

func (p *progress) step(v *client.Vertex) *step {
	st := p.steps[v.Digest]
	if st == nil {
		st = &step{stream: "buildkit", name: v.Name}
		if m := stepName.FindStringSubmatch(v.Name); m != nil {
			st.stream, st.name = m[1], m[2]
			st.quiet = strings.HasSuffix(m[1], "internal") // "[linux/arm64 internal] load metadata"
		}
		// A here-document is a part of the name.
		first, more, _ := strings.Cut(p.hide.Replace(st.name), "\n")
		if st.name = first; strings.TrimSpace(more) != "" {
			st.name += " ..."
		}
		p.steps[v.Digest] = st
	}
	return st
}

func (p *progress) output(st *step, data string) {
	lines := strings.Split(st.rest+data, "\n")
	st.rest = lines[len(lines)-1]
	for _, l := range lines[:len(lines)-1] {
		p.tell(st, l)
	}
}

// end tells a last line that is not ended.
func (p *progress) end(st *step) {
	if st.rest != "" {
		p.tell(st, st.rest)
		st.rest = ""
	}
}

func (p *progress) tell(st *step, line string) {
	line = strings.TrimRight(line, "\r")
	line = line[strings.LastIndex(line, "\r")+1:] // a bar that is drawn over itself
	line = p.hide.Replace(line)
	p.log(st.stream, line)
	if st.lines = append(st.lines, line); len(st.lines) > lastLines {
		st.lines = slices.Delete(st.lines, 0, 1)
	}
}

// setLine says on which line of the Dockerfile the build failed.
func (p *progress) setLine(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = n
}

// failure explains why a build failed: the step, and the last that it said.
func (p *progress) failure(ctx context.Context, err error) error {
	var shown *sdk.Error
	switch {
	case errors.As(err, &shown):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &sdk.Error{Summary: "the build exceeded its timeout", Code: "buildx.timeout", Hint: "raise timeout", Path: sdk.At("timeout")}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	for _, source := range errdefs.Sources(err) {
		if len(source.Ranges) > 0 {
			p.setLine(int(source.Ranges[0].Start.Line))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// The cause is not kept: its text may hold what is hidden here.
	out := &sdk.Error{Summary: "the build failed", Detail: p.hide.Replace(err.Error()), Code: "buildx.failed", Hint: "Running applications are unchanged. Fix the commit and apply again."}
	if st := p.failed; st != nil {
		p.end(st)
		out.Summary += " at " + st.name + " (" + st.stream + ")"
		out.Detail = strings.TrimSpace(strings.Join(st.lines, "\n") + "\n" + st.err)
	}
	if p.line > 0 {
		out.Summary += fmt.Sprintf(", line %d of the Dockerfile", p.line)
	}
	return out
}
