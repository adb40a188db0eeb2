// Package limit ends evaluations that would take too long. hcl evaluates a for expression to its end, whatever its size, and
// cannot be told to stop. Guard puts a check into every for expression of a file; Limit decides what the checks answer.
package limit

import (
	"bytes"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Elements is how many elements the for expressions of one evaluation may go over, all together. More is a mistake, and would
// take all memory.
const Elements = 1_000_000

// Limit bounds one evaluation. Its methods may be called concurrently.
type Limit struct {
	stop  <-chan struct{}
	until time.Time // before, a closed stop does not count; zero: it counts at once
	most  int64
	gone  atomic.Int64 // elements so far
	over  atomic.Pointer[hcl.Diagnostic]
}

// New returns the limit of one evaluation, which ends early when stop is closed. A nil stop is never closed.
func New(stop <-chan struct{}) *Limit { return &Limit{stop: stop, most: Elements} }

// NewWithGrace returns the limit of one evaluation that is needed to finish work: when stop is closed, it ends early once it has taken longer
// than grace.
func NewWithGrace(stop <-chan struct{}, grace time.Duration) *Limit {
	l := New(stop)
	l.until = time.Now().Add(grace)
	return l
}

// name is the variable of an evaluation's context that holds its limit. No expression can name it.
const name = "\x00 the limit of this evaluation"

var limitType = cty.Capsule("limit", reflect.TypeFor[Limit]())

// Bind makes an evaluation with this context, or a child of it, obey the limit.
func (l *Limit) Bind(ctx *hcl.EvalContext) {
	if ctx.Variables == nil {
		ctx.Variables = map[string]cty.Value{}
	}
	ctx.Variables[name] = cty.CapsuleVal(limitType, l)
}

// Of returns the limit of a context, nil if it has none.
func Of(ctx *hcl.EvalContext) *Limit {
	for ; ctx != nil; ctx = ctx.Parent() {
		if v, ok := ctx.Variables[name]; ok {
			l, _ := v.EncapsulatedValue().(*Limit)
			return l
		}
	}
	return nil
}

// Exceeded returns why the evaluation was ended early, nil if it was not. Its result means nothing then, even when there was no
// error: try and can catch errors.
func (l *Limit) Exceeded() *hcl.Diagnostic {
	if l == nil {
		return nil
	}
	return l.over.Load()
}

// element counts one element. It returns whether the evaluation may go on, and the first time that it may not, the error.
func (l *Limit) element(at hcl.Range) (ok bool, first *hcl.Diagnostic) {
	if l.over.Load() != nil {
		return false, nil
	}
	n := l.gone.Add(1)
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Subject: &at}
	switch {
	case n > l.most:
		d.Summary = "A for expression is too large"
		d.Detail = "The for expressions that are evaluated here together go over more than 1,000,000 elements. Make the lists smaller before they are combined."
	case l.isStopped():
		d = interrupted(at)
	default:
		return true, nil
	}
	if l.over.CompareAndSwap(nil, d) {
		return false, d
	}
	return false, nil
}

// Interrupted returns an error if an evaluation must not begin because the run was stopped, nil if it may.
func (l *Limit) Interrupted(at hcl.Range) *hcl.Diagnostic {
	if l == nil || !l.isStopped() {
		return nil
	}
	return interrupted(at)
}

func interrupted(at hcl.Range) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Subject: &at, Summary: "Interrupted", Detail: "The evaluation of this expression was ended because the run was stopped."}
}

func (l *Limit) isStopped() bool {
	select {
	case <-l.stop:
		return l.until.IsZero() || time.Now().After(l.until)
	default:
		return false
	}
}

// Guard puts a check into every for expression of a syntax tree, those of templates as well. It must be called once, before the tree is
// evaluated.
func Guard(tree hclsyntax.Node) { _ = hclsyntax.VisitAll(tree, guardNode) }

// MayLoop tells whether the text of a file may have a for expression. It is false only when there is none, so that the tree needs no walk:
// the word ends with a space, a new line or a comment, in templates as well.
func MayLoop(src []byte) bool {
	word := []byte("for")
	for {
		i := bytes.Index(src, word)
		if i < 0 {
			return false
		}
		if src = src[i+len(word):]; len(src) > 0 && bytes.IndexByte([]byte(" \t\r\n#/"), src[0]) >= 0 {
			return true
		}
	}
}

func guardNode(n hclsyntax.Node) hcl.Diagnostics {
	f, ok := n.(*hclsyntax.ForExpr)
	if !ok {
		return nil
	}
	if f.CondExpr == nil {
		at := hcl.Range{Filename: f.OpenRange.Filename, Start: f.OpenRange.Start, End: f.CloseRange.End}
		f.CondExpr = &hclsyntax.LiteralValueExpr{Val: cty.True, SrcRange: at}
	}
	f.CondExpr = &check{&hclsyntax.ParenthesesExpr{Expression: f.CondExpr, SrcRange: f.CondExpr.Range()}}
	return nil
}

// check is the condition of a for expression, in parentheses, and asks the limit before each element.
type check struct{ *hclsyntax.ParenthesesExpr }

// Value returns the value of the condition. It is unknown, which skips the element, when the evaluation shall end.
func (c *check) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if l := Of(ctx); l != nil {
		if ok, d := l.element(c.SrcRange); d != nil {
			return cty.UnknownVal(cty.Bool), hcl.Diagnostics{d}
		} else if !ok {
			return cty.UnknownVal(cty.Bool), nil
		}
	}
	return c.Expression.Value(ctx)
}
