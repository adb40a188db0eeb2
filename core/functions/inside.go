package functions

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// insideMark marks a text that was encoded from a value with sensitive parts, instead of Sensitive: it says which parts these are. It counts
// only for that very text, and only if nothing else makes the text sensitive.
type insideMark struct {
	text  [sha256.Size]byte
	paths string // JSON: a list of ways into the value, each of them texts and numbers
}

// SensitiveInside returns the sensitive parts of a text that was made by jsonencode or yamlencode. It is not ok for other values: those are
// sensitive as a whole.
func SensitiveInside(v cty.Value) (parts []cty.Path, ok bool) {
	v, marks := v.Unmark()
	if len(marks) != 1 || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return nil, false
	}
	for m := range marks {
		mark, is := m.(insideMark)
		if !is || mark.text != sha256.Sum256([]byte(v.AsString())) {
			return nil, false
		}
		var list [][]any
		if json.Unmarshal([]byte(mark.paths), &list) != nil {
			return nil, false
		}
		for _, steps := range list {
			var p cty.Path
			for _, s := range steps {
				switch s := s.(type) {
				case string:
					p = p.IndexString(s)
				case float64:
					p = p.IndexInt(int(s))
				}
			}
			parts = append(parts, p)
		}
	}
	return parts, true
}

// encoder makes a function that encodes any value as a text. The text knows which parts of it are sensitive.
func encoder(encode function.Function) function.Function {
	return function.New(&function.Spec{
		Description: encode.Description(),
		Params: []function.Parameter{{
			Name: encode.Params()[0].Name, Description: encode.Params()[0].Description, Type: cty.DynamicPseudoType,
			AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
		}},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			plain, marked := args[0].UnmarkDeepWithPaths()
			text, err := encode.Call([]cty.Value{plain})
			if err != nil || len(marked) == 0 {
				return text, err
			}
			return text.WithMarks(marksOf(text, marked)), nil
		},
	})
}

// marksOf are the marks of an encoded text.
func marksOf(text cty.Value, marked []cty.PathValueMarks) cty.ValueMarks {
	all := cty.ValueMarks{}
	var list [][]any
	for _, m := range marked {
		maps.Copy(all, m.Marks)
		list = append(list, stepsOf(m.Path))
	}
	if !text.IsKnown() || text.IsNull() || slices.ContainsFunc(list, func(p []any) bool { return len(p) == 0 }) {
		return all
	}
	paths, err := json.Marshal(list)
	if err != nil {
		return all
	}
	return cty.NewValueMarks(insideMark{sha256.Sum256([]byte(text.AsString())), string(paths)})
}

// stepsOf are the steps of a path as far as they are the same in what is encoded: the elements of a set are not.
func stepsOf(p cty.Path) []any {
	list := []any{}
	for _, s := range p {
		switch s := s.(type) {
		case cty.GetAttrStep:
			list = append(list, s.Name)
		case cty.IndexStep:
			switch {
			case s.Key.Type() == cty.String:
				list = append(list, s.Key.AsString())
			case s.Key.Type() == cty.Number:
				i, _ := s.Key.AsBigFloat().Int64()
				list = append(list, i)
			default:
				return list
			}
		}
	}
	return list
}
