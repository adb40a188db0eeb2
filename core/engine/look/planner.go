package look

import (
	"fmt"
	"sync"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// Planner plans instances: it observes, asks the plugins, and compares with the records. It is made for one run, of a plan or of an apply.
type Planner struct {
	Input    *input.Input
	Options  input.Options
	Services *service.Services
	Forms    *world.Forms
	Tree     *world.Tree
	Found    *Findings
	Records  record.Records
	Moved    record.Moved
	// Applying says that what an instance depends on is done before the instance is worked on: its records are those of now.
	Applying bool

	wanted     map[string]bool // static names of what is needed; nil: everything
	isExpanded bool            // the tree has all of its instances
	ordered    []*Finding      // of all instances, in the order of the configuration

	failedBuilds sync.Map // address -> failedBuild; of an apply

	inheritOnce sync.Once
	inherited   map[string]string // blocks that are replaced as a create_before_destroy block is: static name -> that block
}

// NewPlanner returns a planner that knows nothing but its input.
func NewPlanner(in *input.Input, f *world.Forms, svc *service.Services, recs record.Records, opts input.Options) *Planner {
	return &Planner{Input: in, Options: opts, Forms: f, Tree: world.NewTree(in, f), Found: &Findings{secrets: svc.Secrets}, Services: svc, Records: recs}
}

// SetInput takes another input, which differs from the old one in the values of variables.
func (r *Planner) SetInput(in *input.Input) {
	r.Input = in
	for _, v := range in.Variables {
		r.Services.Secrets.AddFrom(v)
	}
	r.Tree.SetInput(in)
}

// Finding returns what is known of an instance, nil if there is no such instance.
func (r *Planner) Finding(a addr.Instance) *Finding {
	if in := r.Tree.Instance(a); in != nil {
		return r.Found.About(in)
	}
	return nil
}

// Prior returns what state has of an instance, as its plugin wants it. It returns nil if state has nothing. Of what is sensitive it has
// what is known to be the same still.
func (r *Planner) Prior(in *Finding) (*pluginv1.Record, *state.Record, error) {
	rec, ok := r.Records.Record(in.Addr.String())
	if !ok {
		return nil, nil, nil
	}
	out, err := types.Prior(rec, in.Node.Type)
	if err == nil {
		err = r.Input.Fingerprints.Refill(out, rec, in.Config, in.ignored, in.Node.Type)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the record of %s in state cannot be read: %w", in.Addr, err)
	}
	return out, rec, nil
}
