package view

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Cty writes a value as an expression. Sensitive and unknown parts are named, not shown.
func Cty(v cty.Value) string {
	const sensitive, unknown = "\x00sensitive\x00", "\x00unknown\x00"
	shown, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		switch {
		case v.IsMarked():
			return cty.StringVal(sensitive), nil
		case !v.IsKnown():
			return cty.StringVal(unknown), nil
		}
		return v, nil
	})
	if err != nil || shown.ContainsMarked() {
		return "(sensitive)"
	}
	text := string(hclwrite.TokensForValue(shown).Bytes())
	return strings.NewReplacer(`"\u0000sensitive\u0000"`, "(sensitive)", `"\u0000unknown\u0000"`, "(known after apply)").Replace(text)
}
