// Package trigger tells when replace_triggered_by replaces an instance: it makes fingerprints of the values of now, and compares them with
// those that a record keeps.
package trigger

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// Values finds the values of replace_triggered_by in one run.
type Values struct {
	Tree         *world.Tree
	Files        map[string]*hcl.File
	Records      record.Records
	Fingerprints secret.Fingerprints
	// WillChange tells whether the run has an operation for an instance that it has not begun.
	WillChange func(addr.Instance) bool
}

// Of returns the fingerprints of the values that replace_triggered_by has for an instance, by expression. It returns nil if the block has
// none.
func (r *Values) Of(in *world.Instance) (map[string]string, hcl.Diagnostics) {
	list := in.Node.Block.Lifecycle.ReplaceTriggeredBy
	if len(list) == 0 {
		return nil, nil
	}
	var diags hcl.Diagnostics
	out := make(map[string]string, len(list))
	for _, x := range list {
		expr := r.source(x)
		if ref, whole := eval.WholeBlock(x); whole && kinds.IsManaged(ref.Node.Kind) {
			out[expr] = r.operations(in, ref)
			continue
		}
		v, more := in.Node.Scope.Value(x, in.Each)
		diags = append(diags, more...)
		if !more.HasErrors() {
			out[expr] = r.fingerprint(expr, v)
		}
	}
	return out, diags
}

// source returns the text of an expression, with single spaces between its words.
func (r *Values) source(x hcl.Expression) string {
	at := x.Range()
	f := r.Files[at.Filename]
	if f == nil || !at.CanSliceBytes(f.Bytes) {
		return at.String()
	}
	return strings.Join(strings.Fields(string(at.SliceBytes(f.Bytes))), " ")
}

// operations returns the fingerprint of whole instances of a managed block: the operations that made them what they are. A change that is
// planned is an operation to come.
func (r *Values) operations(in *world.Instance, ref eval.Ref) string {
	needs, _ := in.Node.Scope.Needs([]eval.Ref{ref})
	list, _ := r.Tree.Dependencies(in.Node, needs, in.Each)
	h, last := sha256.New(), ""
	for _, a := range list {
		if r.WillChange(a) {
			return changes
		}
		id := ""
		if rec, ok := r.Records.Record(a.String()); ok {
			id = rec.Operation
		}
		last = cmp.Or(id, last)
		fmt.Fprintf(h, "%s\x00%s\x00", a, id)
	}
	switch {
	case last == "":
		return noOperation
	case len(list) == 1:
		return operation + last
	}
	return operation + hex.EncodeToString(h.Sum(nil))
}

// fingerprint returns the fingerprint of a value: a keyed one if something in it is sensitive.
func (r *Values) fingerprint(expr string, v cty.Value) string {
	plain := withoutPaths(deep.Unmarked(v))
	switch {
	case !plain.IsWhollyKnown():
		return changes
	case deep.Marked(v):
		return r.Fingerprints.Value("replace_triggered_by:"+expr, plain)
	}
	encoded, err := eval.EncodeValue(plain)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append(encoded.GetMsgpack(), encoded.GetJson()...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// withoutPaths returns a value in which the files of a source are known by their digest alone: where they are differs between machines.
func withoutPaths(v cty.Value) cty.Value {
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !record.IsTree(v.Type()) || v.IsNull() || !v.IsKnown() {
			return v, nil
		}
		return cty.ObjectVal(map[string]cty.Value{"digest": v.GetAttr("digest"), "path": cty.StringVal("")}), nil
	})
	if err != nil {
		return v
	}
	return out
}
