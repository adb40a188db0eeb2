package pluginhost

import "runtime"

// spawner starts processes, all from one operating-system thread that lives until stop. Linux
// sends a child's parent-death signal when the thread that made the child ends, not the process, and
// Go ends threads as it likes.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer close(s.done)
		defer runtime.UnlockOSThread() // all children have ended; the thread may serve others
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// do runs f on the thread and waits for it.
func (s *spawner) do(f func()) {
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		f()
	}
	<-done
}

// stop ends the thread's work. All processes that it started must have ended.
func (s *spawner) stop() {
	if s == nil {
		return
	}
	close(s.jobs)
	<-s.done
}
