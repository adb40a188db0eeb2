package look

import (
	"strings"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
)

// build is the contract of builds: images that are made from a source, and that policies may count on before they are made.
type build struct{ planning }

// deferred implements managed: what is built is known before its arguments are.
func (build) deferred(c *plan.Change) bool { return len(c.Items) == 0 && c.Action != plan.Build }

// makes tells whether an image reference is what a build pushes.
func makes(up *Finding, reference string) bool {
	name := types.Text(up.Output("repository")) + ":" + types.Text(up.Output("tag"))
	rest, ok := strings.CutPrefix(reference, name)
	return name != ":" && ok && (rest == "" || rest[0] == '@')
}
