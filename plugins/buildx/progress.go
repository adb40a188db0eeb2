package buildx

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/davit-sh/davit/sdk"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// lastLines is how many lines of a step are kept to be shown if it fails.
const lastLines = 20

// progress streams what BuildKit does, and remembers what it needs to explain a failure.
type progress struct {
	log func(stream, line string)

	mu     sync.Mutex
	steps  map[digest.Digest]*step
	failed *step
}

type step struct {
	stream, name string
	quiet        bool // BuildKit's own doings: what it loads before the first step
	started      bool
	rest         string
	lines        []string
	err          string
}

func newProgress(ctx context.Context) *progress {
	return &progress{log: func(stream, line string) { sdk.Log(ctx, stream, line) }, steps: map[digest.Digest]*step{}}
}

// stepName is how BuildKit names the steps of a Dockerfile: "[linux/arm64 3/5] RUN make".
var stepName = regexp.MustCompile(`^\[([^\]]+)\] (.*)$`)

func (p *progress) status(s *client.SolveStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range s.Vertexes {
		st := p.step(v)
		switch {
		case v.Error != "" && !strings.Contains(v.Error, context.Canceled.Error()):
			st.err = v.Error
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
	for _, l := range s.Logs {
		if st := p.steps[l.Vertex]; st != nil {
			p.output(st, string(l.Data))
		}
	}
}

func (p *progress) step(v *client.Vertex) *step {
	st := p.steps[v.Digest]
	if st == nil {
		st = &step{stream: "buildkit", name: v.Name}
		if m := stepName.FindStringSubmatch(v.Name); m != nil {
			st.stream, st.name = m[1], m[2]
			st.quiet = strings.HasPrefix(m[1], "internal") || strings.HasPrefix(m[1], "context ")
		}
		p.steps[v.Digest] = st
	}
	return st
}

func (p *progress) output(st *step, data string) {
	lines := strings.Split(st.rest+data, "\n")
	st.rest = lines[len(lines)-1]
	for _, l := range lines[:len(lines)-1] {
		l = strings.TrimRight(l, "\r")
		p.log(st.stream, l)
		if st.lines = append(st.lines, l); len(st.lines) > lastLines {
			st.lines = slices.Delete(st.lines, 0, 1)
		}
	}
}

// failure explains why a build failed: the step, and the last that it said.
func (p *progress) failure(ctx context.Context, err error) error {
	var shown *sdk.Error
	switch {
	case errors.As(err, &shown):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return &sdk.Error{Summary: "the build took too long", Code: "buildx.timeout", Hint: "raise timeout", Path: sdk.At("timeout")}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &sdk.Error{Summary: "the build failed", Detail: err.Error(), Code: "buildx.failed", Err: err, Hint: "What runs is not touched. Mend the commit and apply again."}
	if st := p.failed; st != nil {
		out.Summary = "the build failed at " + st.name + " (" + st.stream + ")"
		last := st.lines
		if st.rest != "" {
			last = append(last, st.rest)
		}
		out.Detail = strings.TrimSpace(strings.Join(last, "\n") + "\n" + st.err)
	}
	return out
}
