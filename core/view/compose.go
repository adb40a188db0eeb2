package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// part is a part of a comment: what stands at its beginning and end, and lines between that may be left out. A part
// without a head is none.
type part struct {
	rank       int // the lower, the more a reader would miss it
	head, foot string
	lines      []string
	weights    []int              // of the lines, as the rank is of parts; nil: the first ones are missed most
	more       func(n int) string // says that n lines are left out
	short      string             // stands in when not even the head fits
}

// text is the part with as many of its lines as there is room for, the most important ones, and how many are left out.
func (p *part) text(room int) (string, int) {
	room -= len(p.head) + len(p.foot)
	if room < 0 {
		return p.short, len(p.lines)
	}
	total := 0
	for _, l := range p.lines {
		total += len(l)
	}
	keep := make([]bool, len(p.lines))
	left := len(p.lines)
	if total > room {
		if p.more == nil {
			return p.short, left
		}
		room -= len(p.more(len(p.lines)))
	}
	for _, i := range p.order() {
		if len(p.lines[i]) > room {
			break // a less important line must not take the place of this one
		}
		keep[i] = true
		room -= len(p.lines[i])
		left--
	}
	if left == len(p.lines) && left > 0 && p.short != "" {
		return p.short, left
	}
	var b strings.Builder
	b.WriteString(p.head)
	for i, l := range p.lines {
		if keep[i] {
			b.WriteString(l)
		}
	}
	if left > 0 {
		b.WriteString(p.more(left))
	}
	b.WriteString(p.foot)
	return b.String(), left
}

// order is the order in which lines get room.
func (p *part) order() []int {
	list := make([]int, len(p.lines))
	for i := range list {
		list[i] = i
	}
	if p.weights != nil {
		slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(p.weights[a], p.weights[b]) })
	}
	return list
}

// empty tells whether there is nothing to say: a list without lines. A change without lines is still one.
func (p *part) empty() bool { return p.head == "" || (len(p.lines) == 0 && p.short == "") }

// cutNote is what a comment says that was cut.
const cutNote = "\n> The plan is too long for one comment: %d lines of it are left out. Look at all of it with `davit show`.\n"

// listRank is the highest rank of lists that come first: deletions, checks, images.
const listRank = 2

// composing is a comment that is being put together.
type composing struct {
	parts []part
	texts []string
	left  []int // lines of each part that are left out
	room  int
}

// whole gives parts their whole texts, as far as there is room.
func (c *composing) whole(order []int) {
	for _, i := range order {
		room := c.room + len(c.texts[i])
		text, left := c.parts[i].text(room)
		if len(text) > room {
			text, left = c.texts[i], max(1, len(c.parts[i].lines))
		}
		c.room = room - len(text)
		c.texts[i], c.left[i] = text, left
		if text == c.parts[i].short {
			c.left[i] = max(1, left)
		}
	}
}

// compose puts a comment together. When room is short, first the lists get it that a reviewer must see, then everything
// its short form, the most important first; what is left goes to whole texts, in the same order.
func compose(head string, parts []part, footer string, limit int) string {
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.empty() })
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(parts[a].rank, parts[b].rank) })
	room := limit - len(head) - len(footer) - len(fmt.Sprintf(cutNote, 1<<40))
	c := &composing{parts: parts, texts: make([]string, len(parts)), left: make([]int, len(parts)), room: room}
	above := 0 // the lists that a reviewer must see come before even a word about the rest
	for above < len(order) && parts[order[above]].rank <= listRank {
		above++
	}
	c.whole(order[:above])
	for _, i := range order[above:] {
		c.left[i] = max(1, len(parts[i].lines))
		if s := parts[i].short; len(s) <= c.room {
			c.texts[i] = s
			c.room -= len(s)
		}
	}
	if !slices.ContainsFunc(order[:above], func(i int) bool { return c.left[i] > 0 }) {
		c.whole(order[above:]) // else a long line of a list would lose its place to something less important
	}
	texts, left := c.texts, 0
	for _, n := range c.left {
		left += n
	}
	var b strings.Builder
	b.WriteString(head)
	for _, t := range texts {
		b.WriteString(t)
	}
	if left > 0 {
		fmt.Fprintf(&b, cutNote, left)
	}
	b.WriteString(footer)
	return b.String()
}
