package pluginhost

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"sync"
)

const (
	tailLines = 8    // lines kept for an error
	tailWidth = 400  // bytes kept of each
	lineLimit = 8192 // bytes of a line that are looked at; the rest is dropped
)

// tail keeps the last lines that a plugin wrote, in bounded memory, without the stack traces of Go panics.
type tail struct {
	log func(line string)

	mu      sync.Mutex
	lines   [tailLines]string
	count   int    // lines ever kept
	panicky string // the line of the last panic
	inTrace bool
}

// traceLine matches what follows a panic's own line, up to the end of its stack trace.
var traceLine = regexp.MustCompile(`^(\s.*|goroutine \d+ .*|created by .*|\[signal .*|\S+\(.*\)|exit status \d+|rax .*|r[a-z0-9]+ +0x.*|)$`)

func (t *tail) add(raw string) {
	line := printable(raw)
	t.log(line)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "):
		t.panicky, t.inTrace = cut(line), true
	case t.inTrace && traceLine.MatchString(raw):
		return
	case strings.TrimSpace(line) == "":
		return
	default:
		t.inTrace = false
	}
	t.lines[t.count%tailLines] = cut(line)
	t.count++
}

func cut(line string) string {
	if len(line) <= tailWidth {
		return line
	}
	return strings.ToValidUTF8(line[:tailWidth], "") + "…"
}

// last returns the last lines, oldest first; of a plugin that ended in a panic, only what the panic said.
func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTrace {
		return []string{t.panicky}
	}
	var out []string
	for i := max(0, t.count-tailLines); i < t.count; i++ {
		out = append(out, t.lines[i%tailLines])
	}
	return out
}

// settle waits a moment for the last output of a process that has ended or is about to.
func (t *tail) settle(p *process) { p.wait(context.Background(), drainTime) }

// lines splits what is written to it. It never fails and never grows.
type lines struct {
	mu  sync.Mutex
	add func(line string)
	buf []byte
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.keep(b)
			return n, nil
		}
		l.keep(b[:i])
		l.end()
		b = b[i+1:]
	}
}

func (l *lines) keep(b []byte) {
	l.buf = append(l.buf, b[:min(len(b), lineLimit-len(l.buf))]...)
}

func (l *lines) end() {
	l.add(strings.TrimSuffix(string(l.buf), "\r"))
	l.buf = l.buf[:0]
}

// flush ends a last line that has no end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.end()
	}
}
