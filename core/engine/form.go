package engine

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
)

// form is what can be told of a block without any value: it is the same in all instances of its module.
type form struct {
	block     *config.Block
	typ       *types.Type
	own       []eval.Ref // of arguments and conditions
	dependsOn []eval.Ref
	expansion []eval.Ref // of for_each or count
	triggers  []eval.Ref // of replace_triggered_by
	diags     hcl.Diagnostics

	constant atomic.Pointer[constant] // found by the check, for the first who expands the block
}

// forms keeps what can be told of blocks without any value.
type forms struct {
	types   *types.Catalogue
	mu      sync.Mutex
	byBlock map[*config.Block]*form
}

func newForms(t *types.Catalogue) *forms { return &forms{types: t, byBlock: map[*config.Block]*form{}} }

// form returns what can be told of a block; it is found out once.
func (s *forms) form(b *config.Block) *form {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byBlock[b]
	if f == nil {
		f = s.newForm(b)
		s.byBlock[b] = f
	}
	return f
}

func (s *forms) newForm(b *config.Block) *form {
	f := &form{block: b, typ: s.types.Find(b.Addr)}
	if f.typ != nil {
		var exprs []eval.Expr
		exprs, f.diags = f.typ.Schema.Expressions(b.Body)
		for _, x := range exprs {
			f.own = append(f.own, x.References()...)
		}
	}
	f.own = append(f.own, conditionRefs(b.Lifecycle.Pre)...)
	// Here self means the instance; anywhere else it is a mistake.
	f.own = append(f.own, slices.DeleteFunc(conditionRefs(b.Lifecycle.Post), func(r eval.Ref) bool { return r.Instance == "self" })...)
	for _, d := range b.DependsOn {
		f.dependsOn = append(f.dependsOn, eval.RefOf(d))
	}
	for _, x := range b.Lifecycle.ReplaceTriggeredBy {
		f.triggers = append(f.triggers, eval.References(x)...)
	}
	if b.ForEach != nil {
		f.expansion = eval.References(b.ForEach)
	}
	if b.Count != nil {
		f.expansion = eval.References(b.Count)
	}
	return f
}

func conditionRefs(rules []config.Condition) []eval.Ref {
	var refs []eval.Ref
	for _, rule := range rules {
		refs = append(refs, eval.References(rule.Condition)...)
		refs = append(refs, eval.References(rule.Message)...)
	}
	return refs
}
