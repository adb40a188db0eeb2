package objects_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/davit-sh/davit/state/internal/objects"
)

// bucket is one process's way to objects in memory. It fails as it is told to.
type bucket struct {
	*disk
	calls []string // "put head", ...
	// fault is asked before each call. It may wait, and call do itself: now, later or twice.
	fault func(ctx context.Context, call string, do func() error) error
}

type disk struct {
	mu      sync.Mutex
	objects map[string]object
	version int
}

type object struct {
	data    []byte
	version string
}

func newBucket() *bucket { return &bucket{disk: &disk{objects: map[string]object{}}} }

// another is another process's way to the same objects.
func (b *bucket) another() *bucket { return &bucket{disk: b.disk} }

// pause stops the process at its next call that is like this one: that call and all others go on when the
// returned function is called, whatever became of their contexts.
func (b *bucket) pause(like func(call string) bool) (goOn func()) {
	var mu sync.Mutex
	paused := false
	wait := make(chan struct{})
	b.inject(func(_ context.Context, call string, do func() error) error {
		mu.Lock()
		paused = paused || like(call)
		now := paused
		mu.Unlock()
		if now {
			<-wait
		}
		return do()
	})
	return func() { b.inject(nil); close(wait) }
}

func (b *bucket) call(ctx context.Context, call string, do func() error) error {
	b.mu.Lock()
	b.calls = append(b.calls, call)
	fault := b.fault
	b.mu.Unlock()
	locked := func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		return do()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if fault != nil {
		return fault(ctx, call, locked)
	}
	return locked()
}

func (b *bucket) Get(ctx context.Context, name string) (data []byte, version string, err error) {
	err = b.call(ctx, "get "+name, func() error {
		o, ok := b.objects[name]
		if !ok {
			return objects.ErrNotFound
		}
		data, version = slices.Clone(o.data), o.version
		return nil
	})
	return data, version, err
}

func (b *bucket) Put(ctx context.Context, name string, data []byte, version string) (written string, err error) {
	data = slices.Clone(data)
	made := "" // which may be later than the answer
	err = b.call(ctx, "put "+name, func() error {
		if b.objects[name].version != version {
			return objects.ErrConflict
		}
		b.version++
		made = strconv.Itoa(b.version)
		b.objects[name] = object{data, made}
		return nil
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	return made, err
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	return b.call(ctx, "delete "+name, func() error {
		delete(b.objects, name)
		return nil
	})
}

func (b *bucket) List(ctx context.Context) (names []string, err error) {
	err = b.call(ctx, "list", func() error {
		names = slices.Sorted(maps.Keys(b.objects))
		return nil
	})
	return names, err
}

func (b *bucket) String() string { return "memory" }

func (b *bucket) inject(fault func(ctx context.Context, call string, do func() error) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

// requests returns what was called since the last time.
func (b *bucket) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

func (b *bucket) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

var errCut = errors.New("connection cut")
