package world

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
)

// Form is what can be told of a block without any value: it is the same in all instances of its module.
type Form struct {
	Block      *config.Block
	Type       *types.Type
	References []eval.Ref // of arguments and conditions
	DependsOn  []eval.Ref
	Expansion  []eval.Ref // of for_each or count
	Triggers   []eval.Ref // of replace_triggered_by
	Diags      hcl.Diagnostics

	Constant atomic.Pointer[Constant] // found by the check, for the first who expands the block
}

// Forms keeps what can be told of blocks without any value.
type Forms struct {
	types   *types.Catalogue
	mu      sync.Mutex
	byBlock map[*config.Block]*Form
}

// NewForms returns an empty set of forms for the types of a catalogue.
func NewForms(t *types.Catalogue) *Forms { return &Forms{types: t, byBlock: map[*config.Block]*Form{}} }

// Form returns what can be told of a block; it is found out once.
func (s *Forms) Form(b *config.Block) *Form {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byBlock[b]
	if f == nil {
		f = s.newForm(b)
		s.byBlock[b] = f
	}
	return f
}

func (s *Forms) newForm(b *config.Block) *Form {
	f := &Form{Block: b, Type: s.types.Find(b.Addr)}
	if f.Type != nil {
		var exprs []eval.Expr
		exprs, f.Diags = f.Type.Schema.Expressions(b.Body)
		for _, x := range exprs {
			f.References = append(f.References, x.References()...)
		}
	}
	f.References = append(f.References, ConditionRefs(b.Lifecycle.Pre)...)
	// Here self means the instance; anywhere else it is a mistake.
	f.References = append(f.References, slices.DeleteFunc(ConditionRefs(b.Lifecycle.Post), func(r eval.Ref) bool { return r.Instance == "self" })...)
	for _, d := range b.DependsOn {
		f.DependsOn = append(f.DependsOn, eval.RefOf(d))
	}
	for _, x := range b.Lifecycle.ReplaceTriggeredBy {
		f.Triggers = append(f.Triggers, eval.References(x)...)
	}
	if b.ForEach != nil {
		f.Expansion = eval.References(b.ForEach)
	}
	if b.Count != nil {
		f.Expansion = eval.References(b.Count)
	}
	return f
}

// ConditionRefs returns the references of conditions and their messages.
func ConditionRefs(rules []config.Condition) []eval.Ref {
	var refs []eval.Ref
	for _, rule := range rules {
		refs = append(refs, eval.References(rule.Condition)...)
		refs = append(refs, eval.References(rule.Message)...)
	}
	return refs
}
