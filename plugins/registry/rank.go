package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/sdk"
)

// ordering is how a policy reads and compares what a tag (or the extracted part of it) says.
type ordering[V any] struct {
	// read returns the value, or why there is none.
	read    func(part string) (v V, refused string)
	compare func(a, b V) int
	best    string // "highest"
	worst   string // "lowest": what is chosen in descending order
}

// Orders, as in Flux: ascending order ends with the tag that is chosen.
const (
	ascending  = "asc"
	descending = "desc"
)

func checkOrder(order string) error {
	if order == "" || order == ascending || order == descending {
		return nil
	}
	return &sdk.Error{
		Summary: fmt.Sprintf("order is \"asc\" or \"desc\", not %q", order),
		Hint:    "\"asc\" chooses the highest, \"desc\" the lowest",
		Code:    "policy.order", Path: sdk.At("order"),
	}
}

// rank sorts the candidates into acceptable ones, best first, and refused ones. Every tag is in exactly one of them; with platforms, what is
// ranked behind the best one is not looked at. Among tags that say the same, the current one comes first: nothing moves without a reason.
func rank[V any](c sdk.Candidates, how selection, o ordering[V], order, among string) sdk.Decision {
	type entry struct {
		tag   string
		value V
	}
	var entries []entry
	d := sdk.Decision{}
	for _, tag := range distinct(c) {
		part, refused := how.part(tag)
		var v V
		if refused == "" {
			v, refused = o.read(part)
		}
		if refused != "" {
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: refused})
			continue
		}
		entries = append(entries, entry{tag, v})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		n := o.compare(b.value, a.value)
		if order == descending {
			n = -n
		}
		return cmp.Or(n, currentFirst(c.Current, a.tag, b.tag), cmp.Compare(b.tag, a.tag))
	})
	values := make(map[string]V, len(entries))
	for _, e := range entries {
		d.Ranked = append(d.Ranked, e.tag)
		values[e.tag] = e.value
	}
	acceptable := len(d.Ranked)
	ranked, lacking, lookAt := how.common.narrow(d.Ranked, c.Facts)
	if len(lookAt) > 0 {
		return sdk.Decision{LookAt: lookAt}
	}
	d.Ranked, d.Rejected = ranked, append(d.Rejected, lacking...)
	word := o.best
	if order == descending {
		word = o.worst
	}
	d.Reason = reason(d, acceptable-len(lacking), word, strings.TrimSpace(among+how.words()))
	if len(ranked) > 1 && o.compare(values[ranked[0]], values[ranked[1]]) == 0 {
		d.Reason += "; " + equal(c.Current, ranked)
	}
	return d
}

// equal says how one of two tags that say the same was chosen.
func equal(current string, ranked []string) string {
	if ranked[0] == current {
		return ranked[1] + " is equal to it, and what was chosen before stays"
	}
	return ranked[1] + " is equal to it, and the last in alphabetical order is taken"
}

// selection is what narrows the tags down, whatever their order.
type selection struct {
	filter *filter
	common common
}

// part returns what of a tag is compared, or why the tag does not take part.
func (s selection) part(tag string) (part, refused string) {
	if refused := s.common.refuses(tag); refused != "" {
		return "", refused
	}
	return s.filter.part(tag)
}

func (s selection) words() string { return s.filter.words() + s.common.words() }

// distinct returns the candidates sorted, each once, the current one among them.
func distinct(c sdk.Candidates) []string {
	tags := slices.Clone(c.Tags)
	slices.Sort(tags)
	return slices.Compact(tags)
}

func currentFirst(current, a, b string) int {
	switch current {
	case a:
		return -1
	case b:
		return 1
	}
	return 0
}

// reason says why the first of the ranked was chosen: "1.4.2 is the highest of 12 tags in range >=1.0.0; 3 were rejected".
func reason(d sdk.Decision, n int, word, among string) string {
	refused := len(d.Rejected)
	var s string
	switch {
	case n+refused == 0:
		return "the image has no tags"
	case n == 0:
		return strings.TrimSpace("no acceptable tag "+among) + ": " + text.Count(refused, "tag") + " rejected"
	case n == 1:
		s = fmt.Sprintf("%s is the only tag %s", d.Ranked[0], among)
	default:
		s = fmt.Sprintf("%s is the %s of %d tags %s", d.Ranked[0], word, n, among)
	}
	s = strings.TrimSpace(s)
	switch refused {
	case 0:
		return s
	case 1:
		return s + "; 1 was rejected"
	}
	return fmt.Sprintf("%s; %d were rejected", s, refused)
}
