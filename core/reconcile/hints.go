package reconcile

import (
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/reconcile/hint"
)

// Hint makes the instances of all stacks dirty whose configuration names the repository of a hint. It returns how many there are. A stack that
// was not looked at yet has none: it looks at everything anyway.
func (l *Loop) Hint(h hint.Hint) int {
	l.mu.Lock()
	workers := make([]*worker, 0, len(l.workers))
	for _, w := range l.workers {
		workers = append(workers, w)
	}
	l.mu.Unlock()
	count := 0
	for _, w := range workers {
		named := w.reads.Load()
		if named == nil {
			continue
		}
		if list := h.Match(*named); len(list) > 0 {
			w.queue.add(Trigger{Kind: Webhook, Addresses: list, Reason: h.String()})
			count += len(list)
		}
	}
	return count
}

// setReads notes which repositories the instances read.
func (w *worker) setReads(list []engine.Watched) {
	var named []hint.Named
	for _, in := range list {
		if len(in.Texts) > 0 {
			named = append(named, hint.Named{Address: in.Address, Texts: in.Texts})
		}
	}
	w.reads.Store(&named)
}
