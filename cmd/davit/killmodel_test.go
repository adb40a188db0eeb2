package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// modelStack is a stack of things, as a simple model of what davit is to do: blocks that depend on blocks before them, some of them in a
// module. It knows nothing of davit's own order.
type modelStack []modelBlock

// modelBlock is a block with for_each.
type modelBlock struct {
	There   bool
	Renamed int // how often its label has changed
	Version int
	Keys    []string
	Deps    []int // blocks before it
	First   bool  // create_before_destroy
	Trigger int   // a block of Deps in the same module; -1 is none
}

const modelBlocks = 7

// isInModule tells whether a block is in the module. Blocks of the root module are before and after those.
func isInModule(i int) bool { return i >= 2 && i <= 4 }

func newModelStack(r *rand.Rand) modelStack {
	s := make(modelStack, modelBlocks)
	for i := range s {
		s.renew(r, i)
	}
	return s
}

func (s modelStack) renew(r *rand.Rand, i int) {
	s[i] = modelBlock{There: true, Renamed: s[i].Renamed, Version: s[i].Version + 1, Keys: randomKeys(r), First: r.IntN(3) == 0, Trigger: -1}
	s.connect(r, i)
}

// connect gives a block other dependencies.
func (s modelStack) connect(r *rand.Rand, i int) {
	s[i].Deps, s[i].Trigger = nil, -1
	for j := range i {
		if s[j].There && r.IntN(5) < 2 {
			s[i].Deps = append(s[i].Deps, j)
			if isInModule(i) == isInModule(j) && r.IntN(3) > 0 {
				s[i].Trigger = j
			}
		}
	}
}

func randomKeys(r *rand.Rand) []string {
	keys := []string{}
	for _, k := range []string{"p", "q", "s"} {
		if r.IntN(3) > 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// next returns a stack with random changes.
func (s modelStack) next(r *rand.Rand) modelStack {
	n := slices.Clone(s)
	for i := range n {
		b := &n[i]
		b.Deps = slices.DeleteFunc(slices.Clone(b.Deps), func(j int) bool { return !n[j].There })
		if !slices.Contains(b.Deps, b.Trigger) {
			b.Trigger = -1
		}
		switch {
		case !b.There && r.IntN(2) == 0:
			n.renew(r, i)
		case r.IntN(6) == 0:
			b.There, b.Keys, b.Deps, b.Trigger = false, nil, nil, -1
		default:
			if r.IntN(2) == 0 {
				b.Version++
			}
			if r.IntN(4) == 0 {
				b.Keys = randomKeys(r)
			}
			if r.IntN(6) == 0 {
				b.Renamed++
			}
			if r.IntN(6) == 0 {
				n.connect(r, i)
			}
		}
	}
	return n
}

func (s modelStack) label(i int) string { return fmt.Sprintf("n%d_%d", i, s[i].Renamed) }

// fires tells whether a block of both stacks is replaced.
func (s modelStack) fires(before modelStack, i int) bool {
	was, is := before[i], s[i]
	if !was.There || !is.There || is.Trigger < 0 || is.Trigger != was.Trigger {
		return false
	}
	t := is.Trigger
	return before.label(t) == s.label(t) && (before[t].Version != s[t].Version || len(before[t].Keys) != len(s[t].Keys)) &&
		(len(before[t].Keys) > 0 || len(s[t].Keys) > 0)
}

// makesFirst tells whether a replaced block is made before its old one is deleted: a block that depends on it may ask for that.
func (s modelStack) makesFirst(i int) bool {
	if s[i].First {
		return true
	}
	for j := i + 1; j < len(s); j++ {
		if slices.Contains(s[j].Deps, i) && s.makesFirst(j) {
			return true
		}
	}
	return false
}

// names is an expression for the names of all instances of a block, in a module of the stack.
func (s modelStack) names(i int, inModule bool) string {
	switch {
	case isInModule(i) == inModule:
		return "[for x in application.thing." + s.label(i) + " : x.name]"
	case inModule:
		return fmt.Sprintf("var.n%d", i)
	}
	return fmt.Sprintf("module.m.n%d", i)
}

// text writes the files of a stack. What was renamed since another stack is moved.
func (s modelStack) text(before modelStack, dir, head string) map[string]string {
	root, module := head, "variable \"dir\" {}\n"
	call := fmt.Sprintf("module \"m\" {\n  source = \"./m\"\n  dir = %q\n", dir)
	passed, any := map[int]bool{}, false
	for i, b := range s {
		if !b.There {
			continue
		}
		in := isInModule(i)
		into := fmt.Sprintf("%q", dir)
		if in {
			into, any = "var.dir", true
		}
		var deps []string
		for _, j := range b.Deps {
			deps = append(deps, s.names(j, in))
			if in && !isInModule(j) && !passed[j] {
				passed[j] = true
				module += fmt.Sprintf("variable \"n%d\" {}\n", j)
				call += fmt.Sprintf("  n%d = %s\n", j, s.names(j, false))
			}
		}
		text := fmt.Sprintf("application \"thing\" %q {\n  for_each = toset([%s])\n  id = \"n%d-${each.key}\"\n  version = \"v%d\"\n  deps = flatten([%s])\n  into = \"${%s}/things\"\n  journal = \"${%s}/journal\"\n  lifecycle {\n    create_before_destroy = %t\n",
			s.label(i), quotedList(b.Keys), i, b.Version, strings.Join(deps, ", "), into, into, b.First)
		if b.Trigger >= 0 {
			text += "    replace_triggered_by = [[for x in application.thing." + s.label(b.Trigger) + " : x.version]]\n"
		}
		text += "  }\n}\n"
		if before != nil && before[i].There && before.label(i) != s.label(i) {
			text += fmt.Sprintf("moved {\n  from = application.thing.%s\n  to = application.thing.%s\n}\n", before.label(i), s.label(i))
		}
		if in {
			module += text + fmt.Sprintf("output \"n%d\" { value = %s }\n", i, s.names(i, true))
		} else {
			root += text
		}
	}
	if any {
		root += call + "}\n"
	}
	return map[string]string{"davit.hcl": root, "m/m.hcl": module}
}

func quotedList(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}

// thingAt reads the block and the key in the name, or the id, of a thing: "n3-p.0f1e2d3c".
func thingAt(name string) (block int, key string) {
	id, _, _ := strings.Cut(name, ".")
	number, key, _ := strings.Cut(strings.TrimPrefix(id, "n"), "-")
	_, _ = fmt.Sscan(number, &block)
	return block, key
}

// has tells whether a stack has the instance of a thing.
func (s modelStack) has(name string) bool {
	i, key := thingAt(name)
	return s[i].There && slices.Contains(s[i].Keys, key)
}

// madeFrom returns the version in the content of a thing, and the names of the things that it was made from.
func madeFrom(content string) (version string, deps []string) {
	version, rest, _ := strings.Cut(content, " ")
	return version, strings.FieldsFunc(rest, func(r rune) bool { return r == ',' })
}

// standsOnReplaced tells whether a block stands on one that is deleted before it is made again, and that another block, which stays, stands on
// as well. Then the other one can only be made without the block when the block is deleted.
func (s modelStack) standsOnReplaced(before modelStack, x, y int) bool {
	for z := range x {
		if s.fires(before, z) && !s.makesFirst(z) && before.needs(x, z) && s.needs(y, z) {
			return true
		}
	}
	return false
}

// needs tells whether a block depends on another one, directly or not.
func (s modelStack) needs(x, z int) bool {
	return slices.ContainsFunc(s[x].Deps, func(d int) bool { return d == z || s.needs(d, z) })
}

// wrongOrder says what is wrong with the moment of a step on the way from one stack to another; "" is nothing.
func (s modelStack) wrongOrder(before modelStack, step thingStep) string {
	x, _ := thingAt(step.ID)
	if step.Do == "make" {
		for _, j := range s[x].Deps {
			for _, key := range s[j].Keys {
				id, want := fmt.Sprintf("n%d-%s.", j, key), fmt.Sprintf("v%d", s[j].Version)
				if !slices.ContainsFunc(slices.Collect(maps.Keys(step.World)), func(name string) bool {
					version, _ := madeFrom(step.World[name])
					return strings.HasPrefix(name, id) && version == want
				}) {
					return fmt.Sprintf("%s is made before %s is there in version %s", step.Name, id, want)
				}
			}
		}
		return ""
	}
	gone := !s.has(step.ID)
	for name, content := range step.World {
		if _, deps := madeFrom(content); !slices.Contains(deps, step.Name) {
			continue
		}
		y, _ := thingAt(name)
		stays := s.has(name) && !s.fires(before, y)
		if stays && s.standsOnReplaced(before, x, y) {
			continue
		}
		if gone || !stays || s.makesFirst(x) {
			return fmt.Sprintf("%s is deleted while %s stands on it", step.Name, name)
		}
	}
	return ""
}

// TestTheModelSeesWrongOrders: the model of the kill test finds what is wrong with an order.
func TestTheModelSeesWrongOrders(t *testing.T) {
	block := func(version int, deps ...int) modelBlock {
		return modelBlock{There: true, Version: version, Keys: []string{"p"}, Deps: deps, Trigger: -1}
	}
	triggered, first, none := block(1, 0), block(1, 0), modelBlock{Trigger: -1}
	triggered.Trigger, first.First = 0, true
	both := map[string]string{"n0-p.a": "v1 ", "n1-p.b": "v1 n0-p.a"}
	three := map[string]string{"n0-p.a": "v1 ", "n1-p.b": "v1 n0-p.a", "n2-p.c": "v1 n1-p.b", "n3-p.d": "v1 n2-p.c,n1-p.b"}
	deleteA := thingStep{"delete", "n0-p", "n0-p.a", both}
	for _, tt := range []struct {
		name        string
		before, now modelStack
		step        thingStep
		wrong       bool
	}{
		{"made before its dependency is updated", modelStack{block(1), block(1, 0)}, modelStack{block(2), block(2, 0)}, thingStep{"make", "n1-p", "n1-p.b", both}, true},
		{"made after it", modelStack{block(1), block(1, 0)}, modelStack{block(2), block(2, 0)}, thingStep{"make", "n1-p", "n1-p.b", map[string]string{"n0-p.a": "v2 "}}, false},
		{"deleted while another stands on it", modelStack{block(1), block(1, 0)}, modelStack{none, block(1)}, deleteA, true},
		{"both are deleted, in the wrong order", modelStack{block(1), block(1, 0)}, modelStack{none, none}, deleteA, true},
		{"deleted when nothing stands on it", modelStack{block(1), block(1, 0)}, modelStack{none, none}, thingStep{"delete", "n0-p", "n0-p.a", map[string]string{"n0-p.a": "v1 "}}, false},
		{"both are replaced, in the wrong order", modelStack{block(1), triggered}, modelStack{block(2), triggered}, deleteA, true},
		{"replaced under one that is updated", modelStack{block(1), block(1, 0)}, modelStack{block(2), block(2, 0)}, deleteA, false},
		{"deleted under one that stays, because both stand on one that is replaced", modelStack{block(1), triggered, block(1, 1), block(1, 1, 2)},
			modelStack{block(2), triggered, none, block(1, 1)}, thingStep{"delete", "n2-p", "n2-p.c", three}, false},
		{"the same, and the one below is only updated", modelStack{block(1), block(1, 0), block(1, 1), block(1, 1, 2)},
			modelStack{block(1), block(2, 0), none, block(1, 1)}, thingStep{"delete", "n2-p", "n2-p.c", three}, true},
		{"the same, with the new one to be made first", modelStack{block(1), first}, modelStack{block(2), first}, deleteA, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.now.wrongOrder(tt.before, tt.step); (got != "") != tt.wrong {
				t.Errorf("it says %q", got)
			}
		})
	}
}
