package carry

import (
	"context"
	"sync"

	"github.com/davit-sh/davit/core/diag"
)

// whileHeld is a context that ends, as the soft one does then, when the lease is lost: somebody else may be about to do
// the same work.
func (a *applying) whileHeld(ctx context.Context) (work context.Context, stop func()) {
	work, cancelWork := context.WithCancel(ctx)
	soft, cancelSoft := context.WithCancel(a.soft)
	a.soft, a.halt = soft, cancelSoft
	over, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() {
		select {
		case <-over:
		case <-a.lease.Lost():
			cancelSoft()
			cancelWork()
			a.found.Report(diag.Plain("The lock on the state was lost",
				"Somebody ended it with davit force-unlock, or this process was suspended, or could not reach the state, for so long that it expired. "+
					"This process has stopped; another one may have taken over. "+
					"What it was working on is found again by the next run: run davit plan to see where things are."))
		}
	})
	return work, func() {
		close(over)
		watching.Wait()
		cancelSoft()
		cancelWork()
	}
}
