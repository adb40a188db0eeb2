package pluginhost

import (
	"bytes"
	"regexp"
	"sync"
)

const (
	tailLines = 8    // lines kept for an error
	tailWidth = 400  // bytes kept of each
	lineLimit = 8192 // bytes of a line that are looked at; the rest is dropped
)

// tail keeps the last lines that a plugin wrote, in bounded memory, without the stack traces of Go panics.
type tail struct {
	log func(line string) // nil: nobody listens

	mu      sync.Mutex
	lines   [tailLines][]byte
	count   int    // lines ever kept
	panicky []byte // the line of the last panic
	inTrace bool
}

var (
	traceHead = regexp.MustCompile(`^goroutine \d+ .*\[.*\]:$`)
	// traceLine is what may follow, up to the end of a stack trace: frames, places, registers.
	traceLine = regexp.MustCompile(`^(\s.*|goroutine .*|created by .*|\[signal .*|\S+\(.*\)|exit status \d+|runtime stack:|PC=.*|[a-z0-9]+ +0x.*|)$`)
)

// add takes a line without its end.
func (t *tail) add(line []byte) {
	if t.log != nil {
		t.log(printable(string(line)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	// The second is what go-plugin's own logger says in a plugin that does not silence it.
	case len(line) == 0, starts(line, `{"@level":"debug"`, `{"@level":"trace"`):
		return
	case starts(line, "panic: ", "fatal error: "):
		t.panicky, t.inTrace = keepLine(t.panicky, line), true
	case starts(line, "goroutine ") && traceHead.Match(line):
		t.inTrace = true
		return
	case t.inTrace && traceLine.Match(line):
		return
	default:
		t.inTrace = false
	}
	slot := &t.lines[t.count%tailLines]
	*slot = keepLine(*slot, line)
	t.count++
}

func starts(line []byte, with ...string) bool {
	for _, w := range with {
		if bytes.HasPrefix(line, []byte(w)) {
			return true
		}
	}
	return false
}

// keepLine copies the start of a line into a buffer, which does not grow any further.
func keepLine(buf, line []byte) []byte {
	if len(line) <= tailWidth {
		return append(buf[:0], line...)
	}
	return append(append(buf[:0], line[:tailWidth]...), "..."...)
}

// last returns the last lines, oldest first; of a plugin that ended in a panic, only what the panic said.
func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inTrace && len(t.panicky) > 0 {
		return []string{printable(string(t.panicky))}
	}
	var out []string
	for i := max(0, t.count-tailLines); i < t.count; i++ {
		out = append(out, printable(string(t.lines[i%tailLines])))
	}
	return out
}

// lines splits what is written to it. It never fails, and never grows.
type lines struct {
	add func(line []byte) // must not keep it

	mu  sync.Mutex
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
	l.add(bytes.TrimSuffix(l.buf, []byte{'\r'}))
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
