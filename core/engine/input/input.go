package input

import (
	"cmp"
	"context"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/state"
)

// Input is what a run is made from. It does not change while the run goes on.
type Input struct {
	Stack     *config.Stack
	Variables map[string]cty.Value // by name; sensitive ones are marked
	Types     *types.Catalogue
	Version   string
	// Checksums are what the plugins are pinned by, by name; built-in ones have none.
	Checksums map[string]string
	// History returns the applied revisions of an instance, newest first. It is asked for instances that are held at one of them; nil
	// when there are none.
	History func(ctx context.Context, address string) ([]state.Revision, error)
	// Fingerprints hashes sensitive values; nil when there is no key.
	Fingerprints secret.Fingerprints
	// Literals has what was evaluated of the stack already; nil: nothing is kept.
	Literals *eval.Literals
	// Parallel is how many instances are worked on at once; 0 means 10 operations, and 64 looks while planning.
	Parallel int
}

// Operations is how many operations run at once.
func (i *Input) Operations() int { return cmp.Or(max(i.Parallel, 0), 10) }

// Looks is how many instances are observed and planned at once: they mostly wait for plugins, which bound themselves.
func (i *Input) Looks() int { return cmp.Or(max(i.Parallel, 0), 64) }
