package world

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
)

// Constant is for_each or count of something, if it is made of nothing but itself.
type Constant struct {
	Each []eval.Each
	keys map[addr.Key]bool // made when they are asked for
}

// Has tells whether there is an instance.
func (k *Constant) Has(key addr.Key) bool {
	if k.keys == nil {
		k.keys = make(map[addr.Key]bool, len(k.Each))
		for _, e := range k.Each {
			k.keys[e.Key] = true
		}
	}
	return k.keys[key]
}

// NearestKey suggests the key that was meant.
func NearestKey(key addr.Key, keys []addr.Key) string {
	if key.Value().Type() != cty.String {
		return ""
	}
	var names []string
	for _, k := range keys {
		if v := k.Value(); v.Type() == cty.String && !v.IsNull() {
			names = append(names, v.AsString())
		}
	}
	slices.Sort(names)
	return diag.DidYouMean(key.Value().AsString(), names)
}
