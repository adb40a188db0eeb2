// Package cell renders what strangers wrote in processes that can do no harm.
//
// A worker is this program started again with a hidden verb: without environment, without descriptors but its pipes, without the
// right to open files, to make sockets or to start programs where the kernel can take it away, and with little memory. It asks
// for each file through its pipe, and the files of one source's tree are all that it is given. It runs package load for one folder
// after another and is thrown away after the first one that fails, takes too long, or leaves something behind in a library.
package cell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/davit-sh/davit/plugins/kubernetes/render/load"
	"github.com/davit-sh/davit/sdk"
)

// verb starts a worker.
var verb = []string{"plugin", "render-worker"}

// served says that this program starts workers when it is called with verb.
var served atomic.Bool

// Main serves as a worker if the process was started as one, and does not return then. Programs that render call it first of all.
func Main() {
	if len(os.Args) == 3 && os.Args[1] == verb[0] && os.Args[2] == verb[1] {
		os.Exit(serve(os.Stdin, os.Stdout))
	}
	served.Store(true)
}

const (
	// mostWorkers is how many workers of a process render at once. Each takes about 50 MB.
	mostWorkers = 2
	// mostTime is how long one folder may take.
	mostTime = time.Minute
	// idleTime is how long a worker waits for another folder.
	idleTime = 10 * time.Second
)

// Pool keeps the workers of a process. They are started when they are needed. It may be used concurrently.
type Pool struct {
	time  time.Duration
	slots chan struct{}
	mu    sync.Mutex
	idle  []*worker
}

// New makes a pool.
func New() *Pool {
	return &Pool{time: mostTime, slots: make(chan struct{}, min(mostWorkers, max(1, runtime.NumCPU())))}
}

// Folder is load.Folder in a worker.
func (p *Pool) Folder(ctx context.Context, tree fs.FS, o load.Options) ([]load.Object, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		w, reused, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		a, err := w.folder(ctx, p.time, tree, request{Options: o})
		if err == nil && !a.Spent && len(a.Findings) == 0 {
			p.give(w)
		} else {
			w.end()
		}
		switch {
		case errors.Is(err, errGone) && reused:
			continue // it ended while it waited
		case err != nil:
			return nil, err
		}
		return a.Objects, a.err()
	}
}

// Confinement starts a worker and returns what confines it.
func (p *Pool) Confinement(ctx context.Context) (Confinement, error) {
	w, _, err := p.take(ctx)
	if err != nil {
		return Confinement{}, err
	}
	defer w.end()
	return w.confinement, nil
}

func (p *Pool) take(ctx context.Context) (w *worker, reused bool, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if w != nil {
		w.wait.Stop()
		return w, true, nil
	}
	if !served.Load() {
		return nil, false, errors.New("this program cannot start render workers: its main function must begin with cell.Main()")
	}
	w, err = start(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("starting a render worker: %w", err)
	}
	return w, false, nil
}

// give keeps a worker for the next folder.
func (p *Pool) give(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, w)
	w.wait = time.AfterFunc(idleTime, func() {
		if p.remove(w) {
			w.end()
		}
	})
}

// remove takes a worker from those that wait, and tells whether it was there.
func (p *Pool) remove(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.idle {
		if other == w {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return true
		}
	}
	return false
}

// Close ends the workers that wait.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, w := range idle {
		w.wait.Stop()
		w.end()
	}
}

// harm is the error of a folder that a worker did not survive.
func harm(dir, what string) error {
	return &sdk.Error{Summary: fmt.Sprintf("rendering %s %s", shown(dir), what), Code: "kubernetes.render", Path: sdk.At("path"),
		Hint: "Only this application was stopped. Look for templates that call themselves, for loops, and for files that generate many others."}
}

func shown(dir string) string {
	if dir == "." {
		return "the source's root folder"
	}
	return dir
}
