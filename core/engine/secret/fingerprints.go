package secret

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// Fingerprints makes a keyed hash of a sensitive value at a path: "algorithm:key:hash". Nil makes none: changes of sensitive values are
// seen then only if a plugin sees them.
type Fingerprints func(path string, value []byte) string

// Arguments returns the hashes of the sensitive arguments of an instance, by path. It returns nil if there are none.
func (f Fingerprints) Arguments(config cty.Value) map[string]string { return f.parts(config, "") }

// Outputs returns the hashes of the sensitive outputs of an instance, by path. It returns nil if there are none.
func (f Fingerprints) Outputs(outputs cty.Value) map[string]string {
	return f.parts(outputs, inOutputs)
}

// inOutputs begins the paths that outputs are hashed under.
const inOutputs = "outputs:"

func (f Fingerprints) parts(v cty.Value, in string) map[string]string {
	if f == nil || !deep.Marked(v) {
		return nil
	}
	out := map[string]string{}
	Parts(v, func(path string, v cty.Value) {
		if print := f.Value(in+path, v); print != "" {
			out[path] = print
		}
	})
	return out
}

// Parts calls fn for the sensitive parts of a value that are known, without their marks.
func Parts(v cty.Value, fn func(path string, v cty.Value)) {
	_ = cty.Walk(v, func(p cty.Path, v cty.Value) (bool, error) {
		if !v.IsMarked() {
			return true, nil
		}
		if u, _ := v.UnmarkDeep(); u.IsWhollyKnown() && !u.IsNull() {
			fn(plan.PathString(p), u)
		}
		return false, nil
	})
}

// Value returns the keyed hash of a value, "" if there is no key.
func (f Fingerprints) Value(path string, v cty.Value) string {
	if f == nil {
		return ""
	}
	encoded, err := eval.EncodeValue(v)
	if err != nil {
		return ""
	}
	return f(path, append(encoded.GetMsgpack(), encoded.GetJson()...))
}

// Changed returns the paths of the sensitive arguments whose value is not the one that was applied last, sorted. Hashes that were made
// with another key are not compared; ignored paths are left out.
func (f Fingerprints) Changed(config cty.Value, ignored map[string]bool, rec *state.Record) []string {
	now := f.Arguments(config)
	var list []string
	for path, before := range rec.Fingerprints {
		after, there := now[path]
		if !ignored[path] && (there || len(now) > 0) && (!there || (key.Same(before, after) && before != after)) {
			list = append(list, path)
		}
	}
	for path := range now {
		if _, there := rec.Fingerprints[path]; !there && len(rec.Fingerprints) > 0 {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
