package plan

import (
	"bytes"
	"encoding/json"
)

// Output is an output of the stack. An output that is in state only has no Value: it will be removed.
type Output struct {
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value,omitempty"`
	Before    json.RawMessage `json:"before,omitempty"` // in state; absent: state has no such output
	Unknown   bool            `json:"unknown,omitempty"`
	Sensitive bool            `json:"sensitive,omitempty"`
}

// Changed tells whether an apply may write another value of the output to state. A sensitive output never changes: state
// keeps no value of it. An unknown output counts as changed.
func (o *Output) Changed() bool {
	switch {
	case o.Sensitive:
		return false
	case o.Unknown:
		return true
	}
	return !bytes.Equal(o.Before, o.Value)
}

// OutputsChanged counts the outputs that change.
func (p *Plan) OutputsChanged() int {
	n := 0
	for i := range p.Outputs {
		if p.Outputs[i].Changed() {
			n++
		}
	}
	return n
}
