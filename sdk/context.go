package sdk

import (
	"context"
	"errors"
	"sync"
)

// calls is what the server of the protocol puts in the context of each method.
type calls struct {
	log        func(stream, line string)
	progress   func(message string, done, total int64)
	item       func(key, status, message string)
	addItem    func(Item)
	checkpoint func(outputs any, private []byte) error
	sensitive  [][]any
	host       Host
}

type callsKey struct{}

func callsOf(ctx context.Context) *calls {
	c, _ := ctx.Value(callsKey{}).(*calls)
	if c == nil {
		return &calls{}
	}
	return c
}

// Host describes the running davit, and the stack of a call.
type Host struct {
	Version   string
	CacheDir  string // shared by all plugins; use a folder of the plugin's name in it
	StackDir  string // what relative paths in a configuration are relative to
	Stack     string // tells the stacks of one process apart; empty if davit serves one stack only
	StackName string // for people: the name of the stack's folder
	Lineage   string // of the stack's state; empty while nothing was ever written to it
	// Credentials are the logins of the stack's credentials blocks for this plugin.
	Credentials Credentials
}

// HostOf returns the Host of the call of ctx.
func HostOf(ctx context.Context) Host { return callsOf(ctx).host }

// Log shows a line to the user, under the name of its source.
func Log(ctx context.Context, stream, line string) {
	if c := callsOf(ctx); c.log != nil {
		c.log(stream, line)
	}
}

// Progress shows the progress of an operation. Total is 0 if it is unknown.
func Progress(ctx context.Context, message string, done, total int64) {
	if c := callsOf(ctx); c.progress != nil {
		c.progress(message, done, total)
	}
}

// WaitForHealth says that an operation has done its work and only waits for what it has made to become healthy. From then on it may be
// cancelled in favour of a newer change: the context of Apply ends, and what Apply returns then is dropped.
func WaitForHealth(ctx context.Context) { Progress(ctx, "waiting for health", 0, 0) }

// ItemStatus shows the status of an item: "applied", "waiting", "healthy", "failed", "deleted".
func ItemStatus(ctx context.Context, key, status, message string) {
	if c := callsOf(ctx); c.item != nil {
		c.item(key, status, message)
	}
}

// AddItem adds an item to the result of Observe: a source reports the commits since Prior.
func AddItem(ctx context.Context, item Item) {
	if c := callsOf(ctx); c.addItem != nil {
		c.addItem(item)
	}
}

// Save stores a partial result of an operation: it is in state when Save returns. If the operation fails or is killed, the
// state keeps the last saved result. Save returns an error outside of Apply, for outputs of another type
// than the operation's, and after the operation has ended.
func Save[O any](ctx context.Context, r Result[O]) error {
	if c := callsOf(ctx); c.checkpoint != nil {
		return c.checkpoint(r.Outputs, r.Private)
	}
	return errNoOperation
}

var errNoOperation = errors.New("Save was called outside of Apply")

// Sensitive returns the paths of the sensitive parts of the configuration: names of attributes and keys as strings, indexes as ints. A path
// that continues below a text leads into the JSON or YAML of the text. Plan, Apply and Observe have these paths.
func Sensitive(ctx context.Context) [][]any { return callsOf(ctx).sensitive }

// TestCall is the host's side of a call in a test: it has the Host that HostOf returns, and collects the messages of the
// method. A test reads the collected fields after the method has returned.
type TestCall struct {
	Host Host
	// Sensitive is the result of the function Sensitive.
	Sensitive [][]any
	Items     []Item   // given to AddItem
	Logs      []string // "stream: line" of Log, "key status message" of ItemStatus
	Saved     []any    // the outputs given to Save
	mu        sync.Mutex
}

// Context returns a context for calling a type's methods directly in a test.
func (t *TestCall) Context(ctx context.Context) context.Context {
	locked := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f()
	}
	return context.WithValue(ctx, callsKey{}, &calls{
		host: t.Host, sensitive: t.Sensitive,
		log: func(stream, line string) { locked(func() { t.Logs = append(t.Logs, stream+": "+line) }) },
		item: func(key, status, message string) {
			locked(func() { t.Logs = append(t.Logs, key+" "+status+" "+message) })
		},
		addItem: func(i Item) { locked(func() { t.Items = append(t.Items, i) }) },
		checkpoint: func(outputs any, _ []byte) error {
			locked(func() { t.Saved = append(t.Saved, outputs) })
			return nil
		},
	})
}
