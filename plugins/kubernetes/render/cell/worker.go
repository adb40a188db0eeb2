package cell

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/davit-sh/davit/plugins/kubernetes/render/load"
)

const (
	// mostStack bounds how deep templates and objects may go into themselves.
	mostStack = 64 << 20
	// exitMemory is the exit code of a worker that needs more than mostMemory.
	exitMemory = 86
)

// Confinement is what keeps a worker from everything but its pipes. Mechanisms that the kernel lacks are zero.
type Confinement struct {
	Landlock   int  `json:"landlock"`     // ABI version: no file can be opened, no TCP port used
	Seccomp    bool `json:"seccomp"`      // only the system calls that rendering needs
	NoNewPrivs bool `json:"no_new_privs"` // programs with more rights do not give them
	Limits     bool `json:"limits"`       // memory, processor time, sizes and numbers of files are limited by the kernel
}

// attempts are what tests have a worker try. A program has none.
var attempts map[string]func() error

// serve is the life of a worker.
func serve(in io.Reader, out io.Writer) int {
	log.SetOutput(io.Discard)
	debug.SetMaxStack(mostStack)
	debug.SetMemoryLimit(mostMemory / 2)
	debug.SetTraceback("none")
	c := confine()
	w := &cellmate{in: bufio.NewReaderSize(in, 64<<10), out: out}
	if err := writeJSON(out, kindHello, c); err != nil {
		return 1
	}
	go watch(os.Getppid())
	for {
		kind, payload, err := readFrame(w.in, limitFromHost)
		if err != nil {
			return 0 // the host has gone
		}
		var r request
		if kind != kindRequest || json.Unmarshal(payload, &r) != nil {
			return 1
		}
		if err := writeAnswer(out, w.answer(r)); err != nil {
			return 1
		}
	}
}

func writeAnswer(out io.Writer, a answer) error {
	payload, err := json.Marshal(a)
	if err == nil && len(payload) > mostAnswer {
		err = fmt.Errorf("its objects are larger than %d MiB in total", mostAnswer>>20)
	}
	if err != nil {
		return writeJSON(out, kindAnswer, answer{Findings: []finding{{Summary: err.Error(), Code: "kubernetes.bound"}}, Spent: true})
	}
	return writeFrame(out, kindAnswer, payload)
}

// cellmate is the worker's side of the conversation.
type cellmate struct {
	in  *bufio.Reader
	out io.Writer
	// broken is the first error of the conversation: nothing goes on after it.
	broken error
}

func (w *cellmate) answer(r request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			// A library's panic may quote what it was reading.
			a = answer{Spent: true, Findings: []finding{{Summary: "rendering " + shown(r.Dir) + " failed in a library", Code: "kubernetes.render"}}}
		}
	}()
	if r.Attempt != "" {
		return attempt(r.Attempt)
	}
	result, err := load.Folder(&remoteTree{w: w, listed: map[string][]fs.DirEntry{}}, r.Options)
	if w.broken != nil {
		os.Exit(1)
	}
	if err != nil {
		return answer{Findings: findingsOf(err), Spent: true}
	}
	return answer{Objects: result.Objects, Spent: result.Spent}
}

func attempt(name string) answer {
	try := attempts[name]
	if try == nil {
		return answer{Findings: []finding{{Summary: "unknown attempt"}}}
	}
	if err := try(); err != nil {
		return answer{Findings: []finding{{Summary: err.Error()}}}
	}
	return answer{}
}

// ask asks the host about the tree.
func (w *cellmate) ask(q ask) (info, []byte, error) {
	var i info
	if w.broken != nil {
		return i, nil, w.broken
	}
	data, err := w.exchange(q, &i)
	if err != nil {
		w.broken = err
	}
	return i, data, err
}

func (w *cellmate) exchange(q ask, i *info) ([]byte, error) {
	if err := writeJSON(w.out, kindAsk, q); err != nil {
		return nil, err
	}
	kind, payload, err := readFrame(w.in, limitFromHost)
	if err != nil {
		return nil, err
	}
	if kind != kindInfo {
		return nil, errors.New("no answer")
	}
	if err := json.Unmarshal(payload, i); err != nil || !i.Data {
		return nil, err
	}
	kind, payload, err = readFrame(w.in, limitFromHost)
	if err == nil && kind != kindData {
		err = errors.New("no content")
	}
	return payload, err
}

// watch ends the worker when it needs too much memory where the kernel does not, and when its host has gone in the middle of a folder.
func watch(host int) {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		time.Sleep(50 * time.Millisecond)
		metrics.Read(sample)
		if sample[0].Value.Uint64()-sample[1].Value.Uint64() > mostMemory {
			os.Exit(exitMemory)
		}
		if os.Getppid() != host {
			os.Exit(1)
		}
	}
}
