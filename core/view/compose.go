package view

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// part is a section of a comment: a head, a foot, and lines between them that may be left out. A part without a head is empty.
type part struct {
	rank       int // parts with the highest rank are cut first
	head, foot string
	lines      []string
	weights    []int              // ranks of the lines (nil: later lines are cut first)
	more       func(n int) string // text that says how many lines are left out
	short      string             // replaces the part when not even its head fits
}

// text returns the part with as many of its most important lines as fit in room bytes, and how many lines are left out.
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
			break // do not fill its place with a less important line
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

// order returns the indexes of the lines, the most important ones first.
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

// empty tells whether the part prints nothing. A change without lines has a short form and is not empty.
func (p *part) empty() bool { return p.head == "" || (len(p.lines) == 0 && p.short == "") }

// cutNote ends a comment that does not show the whole plan.
const cutNote = "\n> The plan is too long for one comment: %d lines are left out. `davit show` prints all of it.\n"

// listRank is the highest rank of the lists that are never replaced by changes: deletions, checks, images.
const listRank = 2

// composing is the state of compose.
type composing struct {
	parts []part
	texts []string
	left  []int // lines of each part that are left out
	room  int
}

// whole replaces the short texts of parts by their whole texts, as far as there is room.
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

// compose joins parts into a comment of at most limit bytes. Room is given in three rounds: to the lists that a reviewer must
// see, to the short form of every other part, and to whole texts. Each round begins with the most important part.
func compose(head string, parts []part, footer string, limit int) string {
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.empty() })
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(parts[a].rank, parts[b].rank) })
	room := limit - len(head) - len(footer) - len(fmt.Sprintf(cutNote, math.MaxInt32))
	c := &composing{parts: parts, texts: make([]string, len(parts)), left: make([]int, len(parts)), room: room}
	above := 0 // the number of lists that a reviewer must see
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
		c.whole(order[above:]) // a list that was cut keeps the room for itself
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
