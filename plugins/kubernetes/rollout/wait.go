package rollout

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/sdk"
)

// Reader is what waiting needs of a cluster. Concurrent calls are normal.
type Reader interface {
	Get(ctx context.Context, ref cluster.Ref) (*unstructured.Unstructured, error)
	List(ctx context.Context, gvk schema.GroupVersionKind, namespace, labels string) ([]unstructured.Unstructured, error)
	Logs(ctx context.Context, namespace, pod, container string, lines int, previous bool) (string, error)
}

// Target is an object to wait for.
type Target struct {
	Ref cluster.Ref
	Key string
}

// Options say how to wait.
type Options struct {
	Timeout time.Duration
	Report  func(t Target, h Health) // called when a target's state has changed; not for one that is healthy at first sight
	Redact  func(string) string      // takes secrets out of logs and messages
}

const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 2 * time.Second
	podPoll   = time.Second // how often pods are asked why
	parallel  = 8
)

// Wait returns when all targets are healthy, with an error when one of them cannot become
// so any more or the timeout is over. The health is of all together at the end.
func Wait(ctx context.Context, r Reader, targets []Target, o Options) (status.Status, error) {
	w := &waiting{reader: r, options: o, open: slices.Clone(targets), last: map[string]Health{}, why: map[string]problem{}}
	deadline := time.Now().Add(o.Timeout)
	for interval := firstPoll; ; interval = min(interval*13/10, lastPoll) {
		hopeless, err := w.look(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return status.UnknownStatus, ctx.Err()
		case err == nil && len(w.open) == 0:
			return status.CurrentStatus, nil
		case hopeless:
			return status.FailedStatus, w.failed(ctx, "did not become healthy")
		case !time.Now().Before(deadline):
			if err != nil {
				return status.UnknownStatus, err
			}
			return Worst(w.states()), w.failed(ctx, fmt.Sprintf("did not become healthy in %s", o.Timeout.Round(time.Second)))
		}
		select {
		case <-ctx.Done():
			return status.UnknownStatus, ctx.Err()
		case <-time.After(min(interval, max(time.Until(deadline), time.Millisecond))):
		}
	}
}

type waiting struct {
	reader   Reader
	options  Options
	open     []Target
	last     map[string]Health
	why      map[string]problem
	podsSeen time.Time
}

// look polls the open targets once. hopeless is set when one of them cannot become healthy.
func (w *waiting) look(ctx context.Context) (hopeless bool, err error) {
	objects := make([]*unstructured.Unstructured, len(w.open))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, t := range w.open {
		group.Go(func() (err error) {
			objects[i], err = w.reader.Get(inner, t.Ref)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return false, err // the next poll may succeed
	}
	askPods := time.Since(w.podsSeen) >= podPoll
	if askPods {
		w.podsSeen = time.Now()
	}
	var open []Target
	for i, t := range w.open {
		h := Of(objects[i])
		if h.Status == status.CurrentStatus {
			w.report(t, h)
			continue
		}
		open = append(open, t)
		if (askPods || h.Status == status.FailedStatus) && objects[i] != nil && observed(objects[i]) {
			w.why[t.Key] = w.ask(ctx, objects[i])
		}
		if p := w.why[t.Key]; p.text != "" {
			h.Message += ": " + p.text
			hopeless = hopeless || p.final
		}
		w.report(t, h)
		hopeless = hopeless || h.Status == status.FailedStatus
	}
	w.open = open
	return hopeless, nil
}

func (w *waiting) report(t Target, h Health) {
	h.Message = w.options.Redact(h.Message)
	last, seen := w.last[t.Key]
	w.last[t.Key] = h
	if seen && last == h || !seen && h.Status == status.CurrentStatus {
		return
	}
	w.options.Report(t, h)
}

func (w *waiting) states() []Health {
	var all []Health
	for _, t := range w.open {
		all = append(all, w.last[t.Key])
	}
	return all
}

// failed says what is not healthy and why, with the last lines of the log of what crashed.
func (w *waiting) failed(ctx context.Context, how string) error {
	var names, lines []string
	for _, t := range w.open {
		h := w.last[t.Key]
		names = append(names, t.Ref.Short())
		lines = append(lines, fmt.Sprintf("%s: %s (%s)", t.Ref.Short(), h.Message, h.Status))
		if p := w.why[t.Key]; p.crashed {
			lines = append(lines, w.logs(ctx, p)...)
		}
	}
	return &sdk.Error{
		Summary: fmt.Sprintf("%s %s", list(names), how),
		Detail:  strings.Join(lines, "\n"), Code: "kubernetes.unhealthy",
		Hint: "The objects are applied; the cluster keeps the previous version running where it can. Fix the cause and apply again.",
	}
}

func (w *waiting) logs(ctx context.Context, p problem) []string {
	text, err := w.reader.Logs(ctx, p.namespace, p.pod, p.container, 10, p.previous)
	if err != nil || strings.TrimSpace(text) == "" {
		return nil
	}
	lines := []string{fmt.Sprintf("last lines of container %s in pod %s:", p.container, p.pod)}
	for line := range strings.Lines(w.options.Redact(text)) {
		lines = append(lines, "  "+strings.TrimRight(line, "\r\n"))
	}
	return lines
}

func list(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}
