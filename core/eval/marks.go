package eval

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/functions"
)

// Sensitive marks a value that must not be shown or stored.
const Sensitive = functions.Sensitive

// MarkSensitive marks a value as sensitive. A null has nothing to hide.
func MarkSensitive(v cty.Value) cty.Value {
	if v.IsKnown() && v.IsNull() {
		return v
	}
	return v.Mark(Sensitive)
}
