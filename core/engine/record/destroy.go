package record

import (
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/state"
)

// Destroyed tells which recorded instances a destroy is about: all, or the targets and what depends on them, without the excluded
// ones and what they depend on. It returns why as well, by address.
func Destroyed(s *state.Snapshot, needed map[string][]string, o *input.Options) (why map[string]string, is func(addr.Instance) bool) {
	dependants := map[string][]string{}
	for address, list := range needed {
		for _, d := range list {
			dependants[d] = append(dependants[d], address)
		}
	}
	doomed, kept := map[string]string{}, map[string]string{}
	all := "everything will be destroyed"
	if len(o.Excludes) > 0 {
		all = "everything except the excluded instances will be destroyed"
	}
	for _, address := range slices.Sorted(maps.Keys(s.Records)) {
		i, err := addr.Parse(address)
		switch {
		case err != nil:
		case o.LeavesOut(i):
			kept[address] = ""
		case len(o.Targets) == 0:
			doomed[address] = all
		case o.Wants(i):
			doomed[address] = "requested by -target"
		}
	}
	spread(doomed, dependants, func(from string) string { return "it depends on " + from + ", which will be destroyed" })
	spread(kept, needed, func(string) string { return "" })
	return doomed, func(i addr.Instance) bool {
		address := i.String()
		_, stays := kept[address]
		return doomed[address] != "" && !stays
	}
}

// spread adds what can be reached from those that are in a set, each with what is said of the one that it was reached from.
func spread(set map[string]string, next map[string][]string, say func(from string) string) {
	queue := slices.Sorted(maps.Keys(set))
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, to := range next[from] {
			if _, there := set[to]; !there {
				set[to] = say(from)
				queue = append(queue, to)
			}
		}
	}
}
