package eval

import (
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Literals keeps the values of expressions without references, such as the keys of a for_each that are written out. The check of a stack
// evaluates them, and the plan that follows need not do that again. They are for one run: a function may have read a file. Its methods may
// be called concurrently. A nil one keeps nothing.
type Literals struct{ values sync.Map } // hcl.Expression -> cty.Value

func (l *Literals) value(x hcl.Expression) (cty.Value, bool) {
	if l == nil {
		return cty.NilVal, false
	}
	v, ok := l.values.Load(x)
	if !ok {
		return cty.NilVal, false
	}
	return v.(cty.Value), true
}

func (l *Literals) keep(x hcl.Expression, v cty.Value) {
	if l != nil {
		l.values.Store(x, v)
	}
}

func (l *Literals) forget() {
	if l != nil {
		l.values.Clear()
	}
}

// ShareLiterals has a stack keep the values of its literals in l, and take them from there. It must be called before the first evaluation.
func (s *Scope) ShareLiterals(l *Literals) { s.shared.literals = l }
