package eval

import (
	"math/big"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Place finds what a path leads to in a body, which is at a place itself: as near as what is written there tells. The place is
// shared when it is that of several values, which a dynamic block makes.
func Place(body hcl.Body, at hcl.Range, path cty.Path) (place hcl.Range, shared bool) {
	if len(path) == 0 {
		return at, false
	}
	attr, ok := path[0].(cty.GetAttrStep)
	if !ok {
		return at, false
	}
	content, _, _ := body.PartialContent(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: attr.Name}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: attr.Name}, {Type: dynamicBlock, LabelNames: []string{"type"}}},
	})
	if a := content.Attributes[attr.Name]; a != nil {
		return within(a.Expr, a.Range, path[1:]), false
	}
	written, made := blocksOf(content, attr.Name)
	nth, rest := 0, path[1:]
	if len(rest) > 0 {
		if i, ok := indexOf(rest[0]); ok {
			nth, rest = i, rest[1:]
		}
	}
	switch {
	case len(made) == 1 && len(written) == 0:
		place, _ = Place(contentOf(made[0]), made[0].DefRange, rest)
		return place, true
	case len(made) > 0: // which of them makes how many is not told here
		return made[0].DefRange, true
	case nth < len(written):
		return Place(written[nth].Body, written[nth].DefRange, rest)
	}
	return at, false
}

// blocksOf are the nested blocks of a name that are written out, and the dynamic ones that make more.
func blocksOf(content *hcl.BodyContent, name string) (written, made []*hcl.Block) {
	for _, b := range content.Blocks {
		switch {
		case b.Type == name:
			written = append(written, b)
		case b.Labels[0] == name:
			made = append(made, b)
		}
	}
	return written, made
}

// contentOf is the body of the blocks that a dynamic block makes.
func contentOf(b *hcl.Block) hcl.Body {
	content, _, _ := b.Body.PartialContent(dynamicSchema)
	if len(content.Blocks) == 0 {
		return hcl.EmptyBody()
	}
	return content.Blocks[0].Body
}

// indexOf is the index of a step into a list.
func indexOf(step cty.PathStep) (i int, ok bool) {
	s, ok := step.(cty.IndexStep)
	if !ok || s.Key.Type() != cty.Number {
		return 0, false
	}
	n, exactly := s.Key.AsBigFloat().Int64()
	return int(n), exactly == big.Exact && n >= 0
}

// within finds what a path leads to in an expression that is at a place, as far as objects and lists are written out.
func within(x hcl.Expression, at hcl.Range, path cty.Path) hcl.Range {
	for _, step := range path {
		if x = stepInto(x, step); x == nil {
			return at
		}
		at = x.Range()
	}
	return at
}

// stepInto is the expression that one step leads to, nil if it is not written out.
func stepInto(x hcl.Expression, step cty.PathStep) hcl.Expression {
	if i, ok := indexOf(step); ok {
		if list, diags := hcl.ExprList(x); !diags.HasErrors() && i < len(list) {
			return list[i]
		}
		return nil
	}
	var want cty.Value
	switch s := step.(type) {
	case cty.GetAttrStep:
		want = cty.StringVal(s.Name)
	case cty.IndexStep:
		want = s.Key
	}
	pairs, diags := hcl.ExprMap(x)
	if diags.HasErrors() {
		return nil
	}
	for _, p := range pairs {
		if key, diags := p.Key.Value(nil); !diags.HasErrors() && key.RawEquals(want) {
			return p.Value
		}
	}
	return nil
}
