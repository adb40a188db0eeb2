package look

import (
	"github.com/davit-sh/davit/core/plan"
)

// build is the contract of builds: images that are made from a source, and that policies may count on before they are made.
type build struct{ planning }

// deferred implements managed: what is built is known before its arguments are.
func (build) deferred(c *plan.Change) bool { return len(c.Items) == 0 && c.Action != plan.Build }
