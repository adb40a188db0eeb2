package view

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/internal/text"
)

// Cty writes a value as an expression. (sensitive) and (known after apply) stand for sensitive and unknown parts.
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
		return text.Sensitive
	}
	written := string(hclwrite.TokensForValue(shown).Bytes())
	return strings.NewReplacer(`"\u0000sensitive\u0000"`, text.Sensitive, `"\u0000unknown\u0000"`, text.Unknown).Replace(written)
}
