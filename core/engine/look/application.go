package look

import (
	"github.com/davit-sh/davit/core/plan"
)

// application is the contract of applications: objects that are kept as their source and their images say.
type application struct{ planning }

// deferred implements managed: an application that shows no items yet is planned at apply.
func (application) deferred(c *plan.Change) bool { return len(c.Items) == 0 }
