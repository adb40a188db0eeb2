package look

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// Triggers returns the fingerprints of the values that replace_triggered_by has for an instance, by expression. It returns nil if the
// block has none.
func (r *Planner) Triggers(in *Finding) (map[string]string, hcl.Diagnostics) {
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

// triggers is what the values of replace_triggered_by say about the record of an instance.
type triggers struct {
	fired    []string // why the instance is replaced: an entry for each value that is not the one that the record was made with
	outdated bool     // the record lacks some, or has some that are not in the block
}

// triggersOf compares the values of replace_triggered_by with the record of an instance.
func (r *Planner) triggersOf(in *Finding) (triggers, hcl.Diagnostics) {
	rec, ok := r.Records.Record(in.Addr.String())
	if !ok || (len(in.Node.Block.Lifecycle.ReplaceTriggeredBy) == 0 && len(rec.Triggers) == 0) {
		return triggers{}, nil
	}
	now, diags := r.Triggers(in)
	if diags.HasErrors() {
		return triggers{}, diags
	}
	fired, outdated := record.FiredTriggers(rec, now)
	for i, expr := range fired {
		if now[expr] == record.TriggerChanges {
			fired[i] = "replace_triggered_by: " + expr + " changes"
		} else {
			fired[i] = "replace_triggered_by: " + expr + " has changed"
		}
	}
	return triggers{fired, outdated}, diags
}

// source returns the text of an expression, with single spaces between its words.
func (r *Planner) source(x hcl.Expression) string {
	at := x.Range()
	f := r.Input.Stack.Files[at.Filename]
	if f == nil || !at.CanSliceBytes(f.Bytes) {
		return at.String()
	}
	return strings.Join(strings.Fields(string(at.SliceBytes(f.Bytes))), " ")
}

// operations returns the fingerprint of whole instances of a managed block: the operations that made them what they are. A change that is
// planned is an operation to come.
func (r *Planner) operations(in *Finding, ref eval.Ref) string {
	needs, _ := in.Node.Scope.Needs([]eval.Ref{ref})
	list, _ := r.Tree.Dependencies(in.Node, needs, in.Each)
	h, last := sha256.New(), ""
	for _, a := range list {
		if !r.Applying && willChange(r.Finding(a)) {
			return record.TriggerChanges
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
		return record.TriggerNone
	case len(list) == 1:
		return record.TriggerOperation + last
	}
	return record.TriggerOperation + hex.EncodeToString(h.Sum(nil))
}

// willChange tells whether a plan has an operation for an instance. To adopt it as it is is none.
func willChange(up *Finding) bool {
	if up == nil || up.Change == nil {
		return false
	}
	return up.Change.Deferred || (up.Change.Action != plan.None && up.Change.Action != plan.Adopt)
}

// fingerprint returns the fingerprint of a value: a keyed one if something in it is sensitive.
func (r *Planner) fingerprint(expr string, v cty.Value) string {
	plain := withoutPaths(deep.Unmarked(v))
	switch {
	case !plain.IsWhollyKnown():
		return record.TriggerChanges
	case deep.Marked(v):
		return r.Input.Fingerprints.Value("replace_triggered_by:"+expr, plain)
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
