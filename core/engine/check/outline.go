package check

import (
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/world"
)

// Outline is what the stack declares and what refers to what, without values: blocks by their addresses without keys.
type Outline struct {
	Blocks []string
	// Needs are the blocks that a block refers to, directly or through locals, variables and outputs, in order.
	Needs map[string][]string
}

// NewOutline draws the stack up from its text.
func NewOutline(f *world.Forms, m *config.Module) Outline {
	g := f.Static(m)
	o := Outline{Needs: map[string][]string{}}
	for _, name := range g.Names {
		if isBlock(name) {
			o.Blocks = append(o.Blocks, name)
		}
	}
	for _, b := range o.Blocks {
		found := map[string]bool{}
		seen := map[string]bool{}
		var visit func(string)
		visit = func(name string) {
			for _, d := range g.Deps[name] {
				switch {
				case isBlock(d):
					found[d] = true
				case !seen[d]:
					seen[d] = true
					visit(d)
				}
			}
		}
		visit(b)
		for d := range found {
			o.Needs[b] = append(o.Needs[b], d)
		}
		slices.Sort(o.Needs[b])
	}
	return o
}

// isBlock tells the name of a block from that of a local, a variable, an output or a call.
func isBlock(name string) bool {
	parts := strings.Split(name, ".")
	if len(parts) < 3 || parts[len(parts)-1] == world.Everything {
		return false
	}
	return slices.Contains(config.Kinds, parts[len(parts)-3])
}
