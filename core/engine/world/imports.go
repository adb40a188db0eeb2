package world

import (
	"sync"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/eval"
)

// ImportFor tells whether an import block of a module instance is about an instance, and for which of its objects.
func (t *Tree) ImportFor(s *eval.Scope, i *config.Import, in addr.Instance) (eval.Each, bool, hcl.Diagnostics) {
	place := input.Within(s.Path, i.To)
	if i.Key == nil || !place.Matches(in) {
		return eval.Each{}, place.Matches(in), nil
	}
	expand, _ := t.imports.LoadOrStore(importKey{s, i}, sync.OnceValues(func() (map[addr.Key]eval.Each, hcl.Diagnostics) { return importKeys(s, i) }))
	keys, diags := expand.(func() (map[addr.Key]eval.Each, hcl.Diagnostics))()
	each, meant := keys[in.Key]
	return each, meant, diags
}

type importKey struct {
	scope *eval.Scope
	block *config.Import
}

// importKeys are the instances that an import is into, each with what it sees.
func importKeys(s *eval.Scope, i *config.Import) (map[addr.Key]eval.Each, hcl.Diagnostics) {
	list, diags := s.Expand("an import", i.ForEach, nil)
	keys := make(map[addr.Key]eval.Each, len(list))
	for _, each := range list {
		v, more := s.Value(i.Key, each)
		diags = append(diags, more...)
		if more.HasErrors() {
			return nil, diags
		}
		key, ok := addr.KeyFromValue(v)
		if !ok || v.IsMarked() {
			return nil, append(diags, diag.Errorf(i.Key.Range(), "Not a key", "The key of an instance must be a string or a whole number that is known before apply and not sensitive."))
		}
		if _, again := keys[key]; again {
			to := addr.Instance{Node: input.Within(s.Path, i.To).Node, Key: key}
			return nil, append(diags, diag.Errorf(i.Key.Range(), "Two imports into one instance", "Two elements of for_each import an object into %s. Each element must have an instance of its own.", to))
		}
		keys[key] = each
	}
	return keys, diags
}
