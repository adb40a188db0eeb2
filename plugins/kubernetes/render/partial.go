package render

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

// renderPartial renders a chart whose values are known in pieces only. It renders twice, with two different texts in place of each unknown
// piece: a text of an object that differs between the two depends on an unknown piece, directly or through a function such as sha256sum, and is
// unknown itself. When more than texts differ, nothing can be told of the objects yet: the error is sdk.NotKnown.
func (c Config) renderPartial(ctx context.Context, files fs.FS, address string, scope Scope) (*Set, error) {
	known := c.Values.Pieces()
	if known == nil {
		return nil, sdk.NotKnown("values")
	}
	one, other := stand("0", known), stand("1x", known)
	first, err1 := c.renderWith(ctx, files, address, scope, one.text)
	second, err2 := c.renderWith(ctx, files, address, scope, other.text)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err1 != nil || err2 != nil {
		if err1 != nil && err2 != nil && err1.Error() == err2.Error() && !one.speaksOf(err1) && !strings.Contains(err1.Error(), Mask) {
			return nil, err1 // whatever the unknown pieces are; what is masked may be one of them
		}
		return nil, sdk.NotKnown("values")
	}
	d := difference{one: one, other: other, unknown: maps.Clone(first.Unknown)}
	if d.unknown == nil {
		d.unknown = map[string]string{}
	}
	if len(first.Objects) != len(second.Objects) {
		return nil, sdk.NotKnown("values")
	}
	for i, o := range first.Objects {
		if Key(o.Unstructured) != Key(second.Objects[i].Unstructured) || !d.find(o.Object, second.Objects[i].Object) {
			return nil, sdk.NotKnown("values")
		}
	}
	first.Unknown, first.Digest = d.unknown, ""
	return first, nil
}

// standIn is a text with something in place of each unknown piece.
type standIn struct {
	text   string
	pieces []string
}

// stand fills the gaps of a text. mark tells the pieces of one filling from those of another.
func stand(mark string, known []string) standIn {
	s := standIn{text: known[0]}
	for _, next := range known[1:] {
		piece := "unknown-" + mark
		switch {
		case strings.HasSuffix(s.text, "sha256:"):
			piece = strings.Repeat(mark[:1], 64)
		case strings.HasSuffix(s.text, "@"):
			piece = "sha256:" + strings.Repeat(mark[:1], 64)
		}
		s.pieces = append(s.pieces, piece)
		s.text += piece + next
	}
	return s
}

// before returns what stands before the first unknown piece in a text.
func (s standIn) before(text string) (string, bool) {
	first := -1
	for _, p := range s.pieces {
		if i := strings.Index(text, p); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first < 0 {
		return "", false
	}
	return text[:first], true
}

func (s standIn) speaksOf(err error) bool {
	_, found := s.before(err.Error())
	if d, ok := errors.AsType[*sdk.Error](err); ok && !found {
		_, found = s.before(d.Detail)
	}
	return found
}

// difference finds the texts that differ in two renderings.
type difference struct {
	one, other standIn
	unknown    map[string]string // the texts of the first rendering that are unknown, and what is known of the start of each
}

// find compares two values. It returns false when something other than a text differs.
func (d difference) find(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for key, v := range a {
			w, ok := other[key]
			if !ok || !d.find(v, w) {
				return false
			}
		}
		return true
	case []any:
		other, ok := b.([]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for i, v := range a {
			if !d.find(v, other[i]) {
				return false
			}
		}
		return true
	case string:
		other, ok := b.(string)
		if !ok {
			return false
		}
		if a != other {
			d.unknown[a] = d.prefix(a, other)
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// prefix returns what is known of the start of a text that differs: what both have before their unknown pieces.
func (d difference) prefix(a, b string) string {
	before, ok1 := d.one.before(a)
	same, ok2 := d.other.before(b)
	if !ok1 || !ok2 || before != same {
		return ""
	}
	return before
}
