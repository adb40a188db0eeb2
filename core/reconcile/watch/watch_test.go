package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/core/engine"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// world is a plugin whose watches a test speaks for.
type world struct {
	mu    sync.Mutex
	calls []*call
	down  error // why it does not start
}

type call struct {
	names  []string
	notice func(*pluginv1.WatchResponse)
	end    chan error
	over   bool
}

func (w *world) client(context.Context, string) (Plugin, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w, w.down
}

func (w *world) Watch(ctx context.Context, r *pluginv1.WatchRequest, notice func(*pluginv1.WatchResponse)) error {
	c := &call{notice: notice, end: make(chan error)}
	for _, in := range r.GetInstances() {
		c.names = append(c.names, in.GetAddress())
	}
	slices.Sort(c.names)
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		c.over = true
	}()
	select {
	case err := <-c.end:
		return err
	case <-ctx.Done():
		return nil
	}
}

// open are the instances of the calls that go on.
func (w *world) open() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, c := range w.calls {
		if !c.over {
			list = append(list, strings.Join(c.names, " "))
		}
	}
	return list
}

func (w *world) last() *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[len(w.calls)-1]
}

// instances are watched instances: "git:a" is source a of the plugin git, with its arguments after a slash.
func instances(names ...string) []engine.Watched {
	var list []engine.Watched
	for _, n := range names {
		n, arguments, _ := strings.Cut(n, "/")
		plugin, name, _ := strings.Cut(n, ":")
		in := engine.Watched{Address: name, Kind: "source", Type: plugin, Plugin: plugin, CanWatch: plugin != "deaf"}
		in.Config = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(arguments)}}
		if plugin == "cluster" {
			in.Kind, in.Prior = "application", &pluginv1.Record{Private: []byte(arguments)}
		}
		list = append(list, in)
	}
	return list
}

func texts(events []Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, fmt.Sprintf("%s: %s%s x%d", e.Address, e.Reason, e.Health, e.Count))
	}
	return list
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func begin(w *world) *Watcher { return New(Options{Plugin: w.client}) }

func TestNoticesAreCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := &world{}
		w := begin(plugin)
		defer w.Close()
		w.Set(instances("git:a", "git:b", "cluster:c", "deaf:d"))
		synctest.Wait()
		if open := plugin.open(); len(open) != 2 || !slices.Contains(open, "a b") || !slices.Contains(open, "c") {
			t.Fatalf("open: %q", open)
		}
		same(t, "unwatched", w.Unwatched(), []Unwatched{{Address: "d", Kind: "source"}})
		begun := time.Now()
		for _, c := range plugin.calls {
			for _, name := range c.names {
				for range 3 {
					c.notice(&pluginv1.WatchResponse{Address: name, Reason: "it moved"})
				}
			}
			c.notice(&pluginv1.WatchResponse{Address: "x", Reason: "nobody asked"})
		}
		same(t, "taken at once", texts(w.Take()), nil)
		<-w.Ready()
		same(t, "ready after", time.Since(begun), debounce)
		same(t, "taken", texts(w.Take()), []string{"a: it moved x3", "b: it moved x3"})
		<-w.Ready()
		same(t, "drift ready after", time.Since(begun), driftDebounce)
		same(t, "drift", texts(w.Take()), []string{"c: it moved x3"})
		same(t, "nothing is left", len(w.pending), 0)
		c := plugin.calls[slices.IndexFunc(plugin.calls, func(c *call) bool { return c.names[0] == "c" })]
		c.notice(&pluginv1.WatchResponse{Address: "c", Reason: "web ", Health: "InProgress"})
		c.notice(&pluginv1.WatchResponse{Address: "c", Reason: "web ", Health: "Failed"})
		<-w.Ready()
		same(t, "health", texts(w.Take()), []string{"c: web Failed x2"})
	})
}

func TestWhatStaysIsWatchedOnWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := &world{}
		w := begin(plugin)
		defer w.Close()
		w.Set(instances("git:a", "git:b", "git:c", "git:d", "git:e"))
		synctest.Wait()
		first := plugin.last()
		w.Set(instances("git:a", "git:b", "git:c", "git:d/other", "git:f"))
		synctest.Wait()
		same(t, "open", plugin.open(), []string{"a b c d e", "d f"})
		first.notice(&pluginv1.WatchResponse{Address: "e", Reason: "gone"})
		first.notice(&pluginv1.WatchResponse{Address: "a", Reason: "heard"})
		<-w.Ready()
		same(t, "taken", texts(w.Take()), []string{"a: heard x1"})
		w.Set(instances("git:a", "git:d/other", "git:f"))
		synctest.Wait()
		same(t, "the first stream still goes on beside its successor", plugin.open(), []string{"a b c d e", "d f", "a"})
		first.notice(&pluginv1.WatchResponse{Address: "a", Reason: "heard twice"})
		<-w.Ready()
		same(t, "taken", texts(w.Take()), []string{"a: heard twice x1"})
		time.Sleep(overlap + time.Second)
		synctest.Wait()
		same(t, "then it ends", plugin.open(), []string{"d f", "a"})
		w.Set(nil)
		time.Sleep(overlap + time.Second)
		synctest.Wait()
		same(t, "nothing is watched", plugin.open(), nil)
		same(t, "streams", len(w.streams), 0)
	})
}

// A managed instance is watched anew when its record is another one; an observed one only when its arguments are.
func TestWhatAWatchIsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := &world{}
		w := begin(plugin)
		defer w.Close()
		list := instances("git:a", "cluster:c/one")
		w.Set(list)
		synctest.Wait()
		again := instances("git:a", "cluster:c/one")
		again[0].Prior = &pluginv1.Record{Outputs: &pluginv1.Value{}}
		w.Set(again)
		synctest.Wait()
		same(t, "calls", len(plugin.calls), 2)
		w.Set(instances("git:a", "cluster:c/two"))
		synctest.Wait()
		same(t, "calls", len(plugin.calls), 3)
		same(t, "the last", plugin.last().names, []string{"c"})
	})
}

func TestAPluginThatDiesIsWatchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := &world{}
		w := begin(plugin)
		defer w.Close()
		w.Set(instances("cluster:a", "cluster:b"))
		synctest.Wait()
		plugin.mu.Lock()
		plugin.down = errors.New("no such file")
		plugin.mu.Unlock()
		plugin.last().end <- errors.New("killed")
		synctest.Wait()
		same(t, "unwatched", w.Unwatched(), []Unwatched{{"a", "application", "killed"}, {"b", "application", "killed"}})
		time.Sleep(10 * time.Minute)
		same(t, "unwatched", w.Unwatched(), []Unwatched{{"a", "application", "no such file"}, {"b", "application", "no such file"}})
		plugin.mu.Lock()
		plugin.down = nil
		plugin.mu.Unlock()
		<-w.Ready() // what has happened meanwhile is not known
		time.Sleep(lastRetry)
		same(t, "unwatched", w.Unwatched(), nil)
		same(t, "taken", texts(w.Take()), []string{"a: the watch was interrupted x1", "b: the watch was interrupted x1"})
		synctest.Wait()
		same(t, "calls", len(plugin.calls), 2)
	})
}

func TestAnInstanceThatCannotBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := &world{}
		w := begin(plugin)
		defer w.Close()
		w.Set(instances("git:a", "git:b"))
		synctest.Wait()
		plugin.last().notice(&pluginv1.WatchResponse{Address: "b", Error: "no key"})
		same(t, "unwatched", w.Unwatched(), []Unwatched{{"b", "source", "no key"}})
		time.Sleep(firstRetry + 2*settling)
		same(t, "open", plugin.open(), []string{"a b", "b"})
		same(t, "unwatched", w.Unwatched(), nil)
		// It fails again: not sooner than after twice as long.
		plugin.last().notice(&pluginv1.WatchResponse{Address: "b", Error: "no key"})
		time.Sleep(firstRetry + firstRetry/2)
		synctest.Wait()
		same(t, "open", plugin.open(), []string{"a b"})
		time.Sleep(firstRetry)
		synctest.Wait()
		same(t, "open", plugin.open(), []string{"a b", "b"})
		same(t, "calls", len(plugin.calls), 3)
	})
}
