package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/sdk/wire"
)

// departs says what of an instance's outputs is not what was planned, nothing if all of it is. Sensitive outputs cannot be compared: the
// plan does not hold them.
func departs(t *blockType, planned, made *plan.Value) string {
	if planned.IsKnown() && bytes.Equal(planned.Value, made.Value) {
		return ""
	}
	want, err1 := t.open(planned)
	got, err2 := t.storedOutputs.Cty(made) // numbers as they are read from a plan
	if err1 != nil || err2 != nil {
		return ""
	}
	d := wire.Departs(fit(want, t.outputType), fit(got, t.outputType))
	if d == nil {
		return ""
	}
	was, is := valueText(d.Planned), valueText(d.Got)
	if holds(planned.Sensitive, d.Output) || holds(made.Sensitive, d.Output) {
		was, is = masked, masked
	}
	return fmt.Sprintf("Plugin %q planned the output %q as %s, and it is %s after apply. This is a defect of the plugin: an apply keeps to its plan. "+
		"What was made is in state; the next plan shows what it means for the rest.", t.plugin, d.Output, was, is)
}

// open is a planned value with its sensitive parts, which are not written down, as unknown ones.
func (t *blockType) open(v *plan.Value) (cty.Value, error) {
	opened := *v
	opened.Unknown = slices.Concat(v.Unknown, v.Sensitive)
	return t.storedOutputs.Cty(&opened)
}

// holds tells whether one of the paths is in an attribute.
func holds(paths []string, name string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		rest, in := strings.CutPrefix(p, name)
		return in && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
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
	if len(b) > longestText {
		return strings.ToValidUTF8(string(b[:longestText]), "") + "..."
	}
	return string(b)
}
