package buildx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// screen is a progress and what a person sees of it.
func screen(secrets []secret, c Config) (*progress, *[]string) {
	var seen []string
	p := newProgress(context.Background(), secrets, c)
	p.log = func(stream, line string) { seen = append(seen, stream+": "+line) }
	return p, &seen
}

var now = time.Unix(1, 0)

func started(id, name string) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.Digest(id), Name: name, Started: &now}}}
}

func said(id, text string) *client.SolveStatus {
	return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: digest.Digest(id), Data: []byte(text)}}}
}

func failed(id, name, why string) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.Digest(id), Name: name, Started: &now, Completed: &now, Error: why}}}
}

func TestThePersonSeesStepsAndTheirLines(t *testing.T) {
	p, seen := screen(nil, Config{})
	for _, s := range []*client.SolveStatus{
		started("0", "[internal] load build definition from Dockerfile"),
		started("1", "[linux/arm64 internal] load metadata for docker.io/library/python:3.11"),
		started("a", "[linux/arm64 3/5] RUN make"),
		started("a", "[linux/arm64 3/5] RUN make"), // told again with each change
		said("a", "first\nsec"), said("a", "ond\r\n"), said("a", "10%\r50%\r100%\nnot ended"),
		said("nobody", "x\n"),
		{Vertexes: []*client.Vertex{{Digest: "a", Name: "[linux/arm64 3/5] RUN make", Started: &now, Completed: &now}}},
		{Vertexes: []*client.Vertex{{Digest: "b", Name: "[4/5] COPY . .", Started: &now, Cached: true}}},
		started("c", "[5/5] RUN <<EOF (set -e...)\nset -e\nmake\nEOF"),
		started("d", "exporting to image"),
		{Warnings: []*client.VertexWarning{{Short: []byte("LegacyKeyValueFormat")}, {Short: []byte("LegacyKeyValueFormat")}}},
	} {
		p.status(s)
	}
	want := []string{
		"linux/arm64 3/5: RUN make", "linux/arm64 3/5: first", "linux/arm64 3/5: second", "linux/arm64 3/5: 100%", "linux/arm64 3/5: not ended",
		"4/5: COPY . . (cached)", "5/5: RUN <<EOF (set -e...) ...", "buildkit: exporting to image", "warning: LegacyKeyValueFormat",
	}
	if !slices.Equal(*seen, want) {
		t.Errorf("seen\n%s\nwant\n%s", strings.Join(*seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestAFailureNamesTheStepAndItsLastLines(t *testing.T) {
	p, _ := screen(nil, Config{})
	p.status(started("a", "[linux/arm64 3/5] RUN make"))
	p.status(started("b", "[linux/amd64 3/5] RUN make"))
	for i := range 30 {
		p.status(said("a", fmt.Sprintf("line %d\n", i)))
	}
	p.status(said("a", "the end"))
	p.status(failed("b", "[linux/amd64 3/5] RUN make", "Canceled: context canceled")) // for the other failed
	p.status(failed("a", "[linux/arm64 3/5] RUN make", "exit code: 2"))
	p.setLine(7)
	var e *sdk.Error
	if err := p.failure(t.Context(), errors.New("failed to solve: all of it")); !errors.As(err, &e) {
		t.Fatal(err)
	}
	if want := "the build failed at RUN make (linux/arm64 3/5), line 7 of the Dockerfile"; e.Summary != want {
		t.Errorf("summary %q, want %q", e.Summary, want)
	}
	if !strings.HasPrefix(e.Detail, "line 11\n") || !strings.HasSuffix(e.Detail, "line 29\nthe end\nexit code: 2") {
		t.Errorf("detail %q", e.Detail)
	}
}

func TestAFailureWithoutAStepIsToldAsItIs(t *testing.T) {
	p, _ := screen(nil, Config{})
	var e *sdk.Error
	if err := p.failure(t.Context(), errors.New("failed to solve: no such frontend")); !errors.As(err, &e) || e.Detail != "failed to solve: no such frontend" {
		t.Errorf("%v", err)
	}
	known := &sdk.Error{Summary: "known"}
	if err := p.failure(t.Context(), fmt.Errorf("doing: %w", known)); !errors.Is(err, known) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.failure(ended, errors.New("signal: interrupt")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	c := Config{SensitiveArgs: map[string]string{"TOKEN": "hunter2-hunter2", "SHORT": "ab"}}
	p, seen := screen([]secret{{id: "key", value: []byte("-----BEGIN KEY-----\nAAAABBBBCCCC\n-----END KEY-----\n")}, {id: "longer", value: []byte("hunter2-hunter2-and-more")}}, c)
	p.status(started("a", "[1/2] RUN curl -H hunter2-hunter2"))
	p.status(said("a", "got hunter2-hun")) // in two parts
	p.status(said("a", "ter2 ab\nAAAABBBBCCCC\nhunter2-hunter2-and-more\n"))
	p.status(&client.SolveStatus{Warnings: []*client.VertexWarning{{Short: []byte("do not use hunter2-hunter2")}}})
	p.status(failed("a", "[1/2] RUN curl -H hunter2-hunter2", "process hunter2-hunter2 failed"))
	err := p.failure(t.Context(), errors.New("failed to solve: process hunter2-hunter2 failed"))
	var e *sdk.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	everything := strings.Join(*seen, "\n") + e.Error() + fmt.Sprint(e.Err)
	for _, s := range []string{"hunter2", "AAAABBBBCCCC", "and-more"} {
		if strings.Contains(everything, s) {
			t.Errorf("%s is shown:\n%s", s, everything)
		}
	}
	if !slices.Contains(*seen, "1/2: got (sensitive) ab") {
		t.Errorf("%q", *seen)
	}
}

// What docker buildx writes: JSON, and in between what a person would see.
func TestRawJSON(t *testing.T) {
	p, seen := screen(nil, Config{})
	out := &rawJSON{progress: p}
	var text strings.Builder
	for _, s := range []*client.SolveStatus{started("a", "[2/2] RUN false"), said("a", "oops\n"), failed("a", "[2/2] RUN false", "exit code: 1")} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(b, '\n'))
	}
	text.WriteString("WARNING: something\n{not JSON}\nDockerfile:12\n--------------------\n  12 | >>> RUN false\n--------------------\nERROR: failed to build: failed to solve: exit code: 1")
	for i := 0; i < text.Len(); i += 7 { // as it comes through a pipe
		if _, err := out.Write([]byte(text.String()[i:min(i+7, text.Len())])); err != nil {
			t.Fatal(err)
		}
	}
	out.end()
	if !slices.Equal(*seen, []string{"2/2: RUN false", "2/2: oops"}) || p.line != 12 {
		t.Errorf("seen %q, line %d", *seen, p.line)
	}
	if message, ok := out.message(); !ok || message != "failed to solve: exit code: 1" {
		t.Errorf("%q", message)
	}
	var e *sdk.Error
	if err := p.failure(t.Context(), errors.New("x")); !errors.As(err, &e) || e.Summary != "the build failed at RUN false (2/2), line 12 of the Dockerfile" || e.Detail != "oops\nexit code: 1" {
		t.Errorf("%v", err)
	}
}

func TestRawJSONForgetsALineWithoutEnd(t *testing.T) {
	p, _ := screen(nil, Config{})
	out := &rawJSON{progress: p}
	long := []byte(strings.Repeat("x", 1<<20))
	for range 40 {
		if n, err := out.Write(long); n != len(long) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(out.rest) > longestLine {
		t.Errorf("%d bytes are kept", len(out.rest))
	}
}

func FuzzRawJSON(f *testing.F) {
	f.Add([]byte(`{"vertexes":[{"digest":"a","name":"[1/2] RUN x"}],"logs":[{"vertex":"a","data":"YQo="}]}` + "\nERROR: x\n"))
	f.Add([]byte(`{"vertexes":[null],"logs":[null],"warnings":[null]}` + "\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		p, _ := screen(nil, Config{})
		out := &rawJSON{progress: p}
		_, _ = out.Write(b)
		out.end()
		_, _ = out.message()
		_ = p.failure(context.Background(), os.ErrInvalid)
	})
}
