package cell

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"time"
)

// worker is a process of its own, as its host sees it.
type worker struct {
	cmd         *exec.Cmd
	in          io.WriteCloser
	out         *bufio.Reader
	said        *tail
	confinement Confinement
	wait        *time.Timer // ends it while nobody needs it
	once        sync.Once
}

// errGone says that a worker ended before it asked for anything.
var errGone = errors.New("the worker ended early")

// startTime is how long a worker may take to say hello. A busy Raspberry Pi needs seconds.
const startTime = 30 * time.Second

func start(ctx context.Context) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(self, verb...), said: &tail{}} //nolint:gosec // this program itself
	w.cmd.Env = []string{}
	w.cmd.Dir = string(os.PathSeparator)
	w.cmd.Stderr = w.said
	w.cmd.WaitDelay = time.Second
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReaderSize(out, 64<<10)
	keepDescriptors()
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	stop := w.killAfter(ctx, startTime)
	defer stop()
	kind, payload, err := readFrame(w.out, limitFromWorker)
	if err == nil && kind != kindHello {
		err = errors.New("its first message is not a greeting")
	}
	if err == nil {
		err = json.Unmarshal(payload, &w.confinement)
	}
	if err != nil {
		w.end()
		return nil, errors.Join(ctx.Err(), err)
	}
	return w, nil
}

// killAfter kills the worker when the context or the time ends, until stop is called. late tells whether it was the time.
func (w *worker) killAfter(ctx context.Context, most time.Duration) (stop func() (late bool)) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errLate)
	ended := context.AfterFunc(ctx, func() { w.cmd.Process.Kill() }) //nolint:errcheck // it may have ended by itself
	return func() bool {
		killed := !ended()
		late := killed && errors.Is(context.Cause(ctx), errLate)
		cancel()
		return late
	}
}

var errLate = errors.New("late")

// end ends the worker and waits for that.
func (w *worker) end() {
	w.once.Do(func() {
		w.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		w.in.Close()         //nolint:errcheck // nothing more is written
		w.cmd.Wait()         //nolint:errcheck // it was killed
	})
}

// folder has a worker render a folder of a tree.
func (w *worker) folder(ctx context.Context, most time.Duration, tree fs.FS, r request) (answer, error) {
	stop := w.killAfter(ctx, most)
	a, err := w.serve(tree, r)
	late := stop()
	if err == nil {
		return a, nil
	}
	w.end()
	switch {
	case late:
		return answer{}, harm(r.Dir, fmt.Sprintf("took longer than %s", most))
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case errors.Is(err, errGone) && !w.said.has("out of memory"):
		return answer{}, err
	case w.said.has("out of memory") || w.cmd.ProcessState.ExitCode() == exitMemory:
		return answer{}, harm(r.Dir, fmt.Sprintf("needs more than %d MiB of memory", mostMemory>>20))
	case w.said.has("stack exceeds"):
		return answer{}, harm(r.Dir, "does not end: a template or an object contains itself")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed):
		return answer{}, harm(r.Dir, fmt.Sprintf("ended its process (%s)", w.cmd.ProcessState))
	}
	return answer{}, harm(r.Dir, "ended with an unexpected answer: "+err.Error())
}

// serve sends a request and answers the worker's questions until its answer comes.
func (w *worker) serve(tree fs.FS, r request) (answer, error) {
	if err := writeJSON(w.in, kindRequest, r); err != nil {
		return answer{}, errGone
	}
	for first := true; ; first = false {
		kind, payload, err := readFrame(w.out, limitFromWorker)
		switch {
		case err != nil && first:
			return answer{}, errors.Join(errGone, err)
		case err != nil:
			return answer{}, err
		case kind == kindAnswer:
			return parseAnswer(payload)
		case kind != kindAsk:
			return answer{}, errors.New("a second greeting")
		}
		if err := w.reply(tree, payload); err != nil {
			return answer{}, err
		}
	}
}

// reply answers one question about the tree.
func (w *worker) reply(tree fs.FS, payload []byte) error {
	var q ask
	if err := json.Unmarshal(payload, &q); err != nil || !fs.ValidPath(q.Name) || strings.ContainsRune(q.Name, 0) {
		return errors.New("an invalid question")
	}
	var i info
	var data []byte
	var err error
	switch q.Op {
	case "stat":
		err = i.stat(tree, q.Name)
	case "list":
		err = i.list(tree, q.Name)
	case "open":
		data, err = i.open(tree, q.Name)
	default:
		return errors.New("an invalid question")
	}
	if err != nil {
		i = info{Missing: errors.Is(err, fs.ErrNotExist), Error: reason(err)}
	}
	if err := writeJSON(w.in, kindInfo, i); err != nil || !i.Data {
		return err
	}
	return writeFrame(w.in, kindData, data)
}

// reason is why something of the tree cannot be read, without the tree's place on this machine.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

func (i *info) stat(tree fs.FS, name string) error {
	found, err := fs.Stat(tree, name)
	if err != nil {
		return err
	}
	i.Mode, i.Size = uint32(found.Mode()), found.Size()
	return nil
}

func (i *info) list(tree fs.FS, name string) error {
	found, err := fs.ReadDir(tree, name)
	if err != nil {
		return err
	}
	i.Entries = make([]entry, 0, len(found))
	for _, d := range found {
		e := entry{Name: path.Base(d.Name()), Mode: uint32(d.Type())}
		if d.Type().IsRegular() {
			meta, err := d.Info()
			if err != nil {
				return err
			}
			e.Mode, e.Size = uint32(meta.Mode()), meta.Size()
		}
		i.Entries = append(i.Entries, e)
	}
	return nil
}

// open returns a file's content, unless it has more than a message may have: the worker refuses it by its size then.
func (i *info) open(tree fs.FS, name string) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	found, err := f.Stat()
	if err != nil {
		return nil, err
	}
	i.Mode, i.Size = uint32(found.Mode()), found.Size()
	if !found.Mode().IsRegular() || found.Size() > mostToCell {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, mostToCell))
	i.Data, i.Size = err == nil, int64(len(data))
	return data, err
}

// tail keeps the beginning of what a worker says before it dies: the runtime tells the cause first.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), 4096-min(len(t.text), 4096))]...)
	return len(p), nil
}

func (t *tail) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Contains(string(t.text), text)
}
