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
				"It was removed with davit force-unlock, or it expired because this process was suspended or could not reach the state. "+
					"This process stopped; another one may have taken over. "+
					"The next run finds its unfinished operations. Run davit plan to see them."))
		}
	})
	return work, func() {
		close(over)
		watching.Wait()
		cancelSoft()
		cancelWork()
	}
}
