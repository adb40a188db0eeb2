package look

import (
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/choose"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
)

// Findings are what a run has found out so far: about each instance, and besides. They may be used concurrently; a Finding is written by
// the task of its instance, and read by tasks that depend on it.
type Findings struct {
	secrets *secret.Secrets

	byInstance sync.Map // *instance -> *Finding

	mu       sync.Mutex
	imported map[object]addr.Instance // by what import blocks take over
	diags    hcl.Diagnostics
	leftOut  map[string]bool // damaged ones that the plan would be about, as they are called in state
	failed   []Failure       // what cannot be planned

	tags choose.Looks
}

// object is an existing object that an instance takes over. Ids have a meaning within a type.
type object struct{ kind, typ, id string }

// imports notes that an instance takes over an object. It returns another instance that does so too, and false, if there is one.
func (f *Findings) imports(a addr.Instance, id string) (other addr.Instance, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.imported == nil {
		f.imported = map[object]addr.Instance{}
	}
	o := object{a.Kind, a.Type, id}
	if other, there := f.imported[o]; there && other != a {
		return other, false
	}
	f.imported[o] = a
	return a, true
}

// Finding is what a run has found out about one instance.
type Finding struct {
	*world.Instance

	Config      cty.Value       // evaluated; marked where sensitive; of managed ones only as long as they are worked on
	kept        []string        // arguments that stay as they were applied last, because their images wait at a gate
	ignored     map[string]bool // paths of sensitive arguments whose changes are ignored
	Change      *plan.Change
	Observation *plan.Observation
	Checks      []plan.Check
	Warnings    hcl.Diagnostics
	fellBack    bool // a policy that has chosen again because a build failed
	misused     bool // its error is a mistake of the language, and not of the world
}

// About returns the finding of an instance. It is empty until the instance is worked on.
func (f *Findings) About(i *world.Instance) *Finding {
	if found, ok := f.byInstance.Load(i); ok {
		return found.(*Finding)
	}
	found, _ := f.byInstance.LoadOrStore(i, &Finding{Instance: i})
	return found.(*Finding)
}

// Report keeps diagnostics. A function's error may repeat its argument: what is sensitive in it is masked. The diagnostics themselves are
// left as they are, since other instances may have the same ones.
func (f *Findings) Report(diags ...*hcl.Diagnostic) {
	masked := f.masked(diags)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.diags = append(f.diags, masked...)
}

func (f *Findings) masked(diags hcl.Diagnostics) hcl.Diagnostics {
	masked := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		own := *d
		own.Summary, own.Detail = f.secrets.Mask(d.Summary), f.secrets.Mask(d.Detail)
		masked[i] = &own
	}
	return masked
}

// Diagnostics returns what was reported so far.
func (f *Findings) Diagnostics() hcl.Diagnostics {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.diags
}

// HasErrors tells whether an error was reported.
func (f *Findings) HasErrors() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.diags.HasErrors()
}

// Failed returns what cannot be planned.
func (f *Findings) Failed() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// LeftOut returns the damaged instances that the plan would be about, as they are called in state.
func (f *Findings) LeftOut() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leftOut
}

// Reset forgets what was reported, but not what is known of instances.
func (f *Findings) Reset() {
	f.diags, f.failed, f.imported = nil, nil, nil
	f.tags.Forget()
}
