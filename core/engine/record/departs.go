package record

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/sdk/wire"
)

// Departs says what of an instance's outputs is not what was planned, nothing if all of it is. Sensitive outputs cannot be compared: the
// plan does not hold them.
func Departs(t *types.Type, planned, made *plan.Value) string {
	if planned.IsKnown() && bytes.Equal(planned.Value, made.Value) {
		return ""
	}
	want, err1 := opened(planned)
	got, err2 := t.StoredOutputs.Cty(made) // numbers as they are read from a plan
	if err1 != nil || err2 != nil {
		return ""
	}
	d := wire.Departs(types.Fit(want, t.OutputType), types.Fit(got, t.OutputType))
	if d == nil {
		return ""
	}
	was, is := valueText(d.Planned), valueText(d.Got)
	if holds(planned.Sensitive, d.Output) || holds(made.Sensitive, d.Output) {
		was, is = secret.Masked, secret.Masked
	}
	return fmt.Sprintf("Plugin %q planned the output %q as %s, but it is %s after apply. This is a defect in the plugin: an apply must match its plan. "+
		"The result is in the state; the next plan shows its consequences.", t.Plugin, d.Output, was, is)
}

// opened are planned outputs with their sensitive parts, which are not written down, as unknown ones.
func opened(v *plan.Value) (cty.Value, error) {
	open := *v
	open.Unknown = slices.Concat(v.Unknown, v.Sensitive)
	return open.Cty()
}

// holds tells whether one of the paths is in an attribute.
func holds(paths []string, name string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return below(p, name) })
}

// longestText is how many bytes of a value an error shows.
const longestText = 200

// valueText writes a value for an error.
func valueText(v cty.Value) string {
	if p := wire.Prefix(v); p != "" {
		return fmt.Sprintf("something that begins with %q", p)
	}
	if !v.IsWhollyKnown() {
		return "(known after apply)"
	}
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "something else"
	}
	return cut(string(b))
}

// cut is a text that is not too long for an error.
func cut(s string) string {
	if len(s) > longestText {
		return strings.ToValidUTF8(s[:longestText], "") + "..."
	}
	return s
}
