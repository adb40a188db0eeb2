package eval

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
)

// Ignorable checks a path of ignore_changes. It returns nil if a configuration can have something there: an argument, a nested block with
// its index, or a part of one of them. of names the block's type in the message.
func (s *Schema) Ignorable(path hcl.Traversal, of string) *hcl.Diagnostic {
	first, ok := path[0].(hcl.TraverseAttr)
	if !ok {
		return diag.Errorf(path.SourceRange(), "Nothing to ignore", "A path of ignore_changes begins with the name of an argument.")
	}
	nested := s.Blocks[first.Name]
	if nested == nil {
		a := s.Attributes[first.Name]
		if a == nil {
			return diag.Errorf(first.SrcRange, "Unknown attribute", "%s has no argument %q to ignore.%s", of, first.Name, diag.DidYouMean(first.Name, s.Names()))
		}
		return ignorableIn(path[1:], a.Type)
	}
	rest := path[1:]
	if len(rest) == 0 {
		return nil
	}
	if index, ok := rest[0].(hcl.TraverseIndex); ok {
		if !nested.List || index.Key.Type() != cty.Number {
			return diag.Errorf(index.SrcRange, "Nothing to ignore", "Only one %s block is allowed, so its path has no index.", first.Name)
		}
		rest = rest[1:]
	} else if nested.List {
		return diag.Errorf(rest[0].SourceRange(), "Nothing to ignore", "Several %s blocks are allowed: name one, such as %s[0].", first.Name, first.Name)
	}
	if len(rest) == 0 {
		return nil
	}
	return nested.Ignorable(rest, "the block "+first.Name)
}

// ignorableIn checks the steps of a path into a value of a type.
func ignorableIn(path hcl.Traversal, t cty.Type) *hcl.Diagnostic {
	for _, step := range path {
		if t == cty.DynamicPseudoType {
			return nil
		}
		name, isName := "", false
		at := step.SourceRange()
		switch step := step.(type) {
		case hcl.TraverseAttr:
			name, isName = step.Name, true
		case hcl.TraverseIndex:
			if isName = step.Key.Type() == cty.String; isName {
				name = step.Key.AsString()
			}
		default:
			return diag.Errorf(at, "Nothing to ignore", "A splat cannot be ignored: name each element.")
		}
		switch {
		case t.IsObjectType() && isName && t.HasAttribute(name):
			t = t.AttributeType(name)
		case t.IsMapType() && isName, t.IsListType() && !isName:
			t = t.ElementType()
		case t.IsTupleType() && !isName:
			return nil
		case t.IsObjectType():
			return diag.Errorf(at, "Nothing to ignore", "There is no attribute %q here.", name)
		default:
			return diag.Errorf(at, "Nothing to ignore", "The path leads into %s, which has no such part.", t.FriendlyName())
		}
	}
	return nil
}
