package buildx

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
)

const (
	longestLine  = 16 << 20
	plainLines   = 200
	plainShown   = 20
	errorsPrefix = "ERROR: "
)

// rawJSON reads what docker buildx writes with --progress rawjson: progress as a line of JSON each, and
// in between lines for people, which tell a failure.
type rawJSON struct {
	progress *progress
	rest     []byte
	plain    []string
}

// Write implements io.Writer.
func (r *rawJSON) Write(b []byte) (int, error) {
	r.rest = append(r.rest, b...)
	for {
		line, rest, found := bytes.Cut(r.rest, []byte("\n"))
		if !found {
			break
		}
		r.line(line)
		r.rest = rest
	}
	if len(r.rest) > longestLine {
		r.rest = nil
	}
	return len(b), nil
}

// end reads a last line that is not ended.
func (r *rawJSON) end() {
	r.line(r.rest)
	r.rest = nil
}

func (r *rawJSON) line(line []byte) {
	line = bytes.TrimSpace(line)
	var s client.SolveStatus
	if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &s) == nil {
		s.Vertexes, s.Logs, s.Warnings = withoutNil(s.Vertexes), withoutNil(s.Logs), withoutNil(s.Warnings)
		r.progress.status(&s)
		return
	}
	text := string(line)
	if m := location.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil {
			r.progress.setLine(n)
		}
	}
	if text != "" && len(r.plain) < plainLines {
		r.plain = append(r.plain, text)
	}
}

// withoutNil leaves out what JSON calls null.
func withoutNil[T any](list []*T) []*T {
	return slices.DeleteFunc(list, func(v *T) bool { return v == nil })
}

// location is how docker buildx starts the part of the Dockerfile that failed: "Dockerfile:12".
var location = regexp.MustCompile(`^(\S+):(\d+)$`)

// message is the error among the lines for people; without one, it is all of them.
func (r *rawJSON) message() (text string, ok bool) {
	for _, l := range r.plain {
		if after, found := strings.CutPrefix(l, errorsPrefix); found {
			return strings.TrimPrefix(after, "failed to build: "), true
		}
	}
	return strings.Join(r.plain[max(0, len(r.plain)-plainShown):], "\n"), len(r.plain) > 0
}
