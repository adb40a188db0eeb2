package eval

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
)

// blockValues are values of instances, by block.
type blockValues map[addr.Node]*nodeValue

type nodeValue struct {
	single cty.Value
	byKey  map[string]cty.Value
	list   []cty.Value
}

// addBlock adds what a reference to a block means. Of the attributes, those that are named are enough; nil is all of them.
func (s *Scope) addBlock(b blockValues, r Ref, attributes []string, each Each) {
	v := b[r.Node]
	if v == nil {
		v = &nodeValue{}
		b[r.Node] = v
	}
	if s.shared.typeOf != nil {
		v.single = s.typed(r)
		return
	}
	node := r.Node.In(s.Path)
	value := func(k addr.Key) cty.Value { return s.instanceValue(addr.Instance{Node: node, Key: k}, attributes) }
	keys, expanded := s.shared.instances.Keys(node)
	if !expanded {
		v.single = value(addr.Key{})
		return
	}
	wanted, one := s.Key(r, each)
	v.fill(keys, wanted, one, value)
}

// instanceValue is an instance with some of its attributes, or all.
func (s *Scope) instanceValue(i addr.Instance, attributes []string) cty.Value {
	if len(attributes) == 0 {
		return s.shared.instances.Value(i)
	}
	attrs := make(map[string]cty.Value, len(attributes))
	for _, name := range attributes {
		v, ok := s.shared.instances.Attribute(i, name)
		if !ok {
			return s.shared.instances.Value(i)
		}
		attrs[name] = v
	}
	return cty.ObjectVal(attrs)
}

// attributesOf are the attributes of a block that references name; nil is all of them.
func attributesOf(refs []Ref, n addr.Node) (names []string) {
	for _, r := range refs {
		if r.Node != n {
			continue
		}
		if len(r.Rest) == 0 {
			return nil
		}
		step, ok := r.Rest[0].(hcl.TraverseAttr)
		if !ok {
			return nil
		}
		if !slices.Contains(names, step.Name) {
			names = append(names, step.Name)
		}
	}
	return names
}

// fill gets the values of the instances that are meant: all, or one.
func (v *nodeValue) fill(keys []addr.Key, wanted addr.Key, one bool, value func(addr.Key) cty.Value) {
	if len(keys) > 0 && keys[0].Value().Type() == cty.Number {
		if v.list == nil {
			v.list = make([]cty.Value, len(keys))
			for i := range v.list {
				v.list[i] = cty.DynamicVal
			}
		}
		for i, k := range keys {
			if !one || k == wanted {
				v.list[i] = value(k)
			}
		}
		return
	}
	if v.byKey == nil {
		v.byKey = map[string]cty.Value{}
	}
	if one {
		// Looking a key up must not cost a walk over all of them: thousands of instances each look at one.
		if wanted.Value().Type() == cty.String {
			if got := value(wanted); got != cty.NilVal {
				v.byKey[wanted.Value().AsString()] = got
			}
		}
		return
	}
	for _, k := range keys {
		v.byKey[k.Value().AsString()] = value(k)
	}
}

func (v *nodeValue) value() cty.Value {
	switch {
	case v.byKey != nil:
		return cty.ObjectVal(v.byKey)
	case v.list != nil:
		return cty.TupleVal(v.list)
	case v.single != cty.NilVal:
		return v.single
	}
	return cty.EmptyObjectVal // no instances
}

// objects puts the values into variables: those of a kind are one object, by type and name.
func (b blockValues) objects(vars map[string]cty.Value) {
	nodes := slices.SortedFunc(maps.Keys(b), func(a, b addr.Node) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Type, b.Type))
	})
	for len(nodes) > 0 {
		kind, byType := nodes[0].Kind, map[string]cty.Value{}
		for len(nodes) > 0 && nodes[0].Kind == kind {
			typ, byName := nodes[0].Type, map[string]cty.Value{}
			for len(nodes) > 0 && nodes[0].Kind == kind && nodes[0].Type == typ {
				byName[nodes[0].Name] = b[nodes[0]].value()
				nodes = nodes[1:]
			}
			byType[typ] = cty.ObjectVal(byName)
		}
		vars[kind] = cty.ObjectVal(byType)
	}
}

// calledValue are the outputs of a call's instances that are referred to.
type calledValue struct {
	nodeValue
	outputs map[addr.Key]map[string]cty.Value
}

// addCall evaluates what a reference means of a called module.
func (s *Scope) addCall(values map[string]*calledValue, r Ref, each Each) hcl.Diagnostics {
	c := s.called(r.Call)
	if call := s.Module.Calls[r.Call]; s.shared.typeOf != nil && (call == nil || call.ForEach != nil || call.Count != nil) {
		c = nil
	}
	if c == nil {
		values[r.Call] = &calledValue{nodeValue: nodeValue{single: cty.DynamicVal}}
		return nil
	}
	v := values[r.Call]
	if v == nil {
		v = &calledValue{outputs: map[addr.Key]map[string]cty.Value{}}
		values[r.Call] = v
	}
	var diags hcl.Diagnostics
	output := func(k addr.Key) cty.Value {
		child := c.scopes[k]
		if child == nil {
			return cty.NilVal
		}
		attrs := v.outputs[k]
		if attrs == nil {
			attrs = map[string]cty.Value{}
			v.outputs[k] = attrs
		}
		for name := range child.Module.Outputs {
			if _, there := attrs[name]; there || (r.Output != "" && r.Output != name) {
				continue
			}
			value, more := child.Output(name)
			diags = append(diags, more...)
			attrs[name] = value
		}
		return cty.ObjectVal(attrs)
	}
	call := s.Module.Calls[r.Call]
	if call.ForEach == nil && call.Count == nil {
		v.single = output(addr.Key{})
		return diags
	}
	wanted, one := s.Key(r, each)
	v.fill(c.keys, wanted, one, output)
	return diags
}

func callsObject(calls map[string]*calledValue) cty.Value {
	out := make(map[string]cty.Value, len(calls))
	for name, v := range calls {
		out[name] = v.value()
	}
	return cty.ObjectVal(out)
}
