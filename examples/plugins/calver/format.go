package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A token is a part of a format that stands for a number.
type token struct {
	name    string
	pattern string
	least   int
	most    int
}

// tokens are those of calver.org; longer names come first.
var tokens = []token{
	{"YYYY", `[1-9][0-9]{3}`, 1000, 9999}, {"0Y", `[0-9]{2,3}`, 0, 999}, {"YY", `0|[1-9][0-9]{0,2}`, 0, 999},
	{"0M", `[0-9]{2}`, 1, 12}, {"0W", `[0-9]{2}`, 1, 53}, {"0D", `[0-9]{2}`, 1, 31},
	{"MAJOR", `0|[1-9][0-9]{0,8}`, 0, 999999999}, {"MINOR", `0|[1-9][0-9]{0,8}`, 0, 999999999}, {"MICRO", `0|[1-9][0-9]{0,8}`, 0, 999999999},
	{"MM", `[1-9][0-9]?`, 1, 12}, {"WW", `[1-9][0-9]?`, 1, 53}, {"DD", `[1-9][0-9]?`, 1, 31},
}

// format is a format made ready for reading tags.
type format struct {
	text   string
	whole  *regexp.Regexp
	starts []*regexp.Regexp // of the first token, of the first two, and so on
	tokens []token
}

func parseFormat(text string) (*format, error) {
	f := &format{text: text}
	var pattern strings.Builder
	pattern.WriteString("^")
	for rest := text; rest != ""; {
		i := slices.IndexFunc(tokens, func(t token) bool { return strings.HasPrefix(rest, t.name) })
		if i < 0 {
			pattern.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[1:]
			continue
		}
		pattern.WriteString("(" + tokens[i].pattern + ")")
		start, err := regexp.Compile(pattern.String() + "$")
		if err != nil {
			return nil, err
		}
		f.tokens, f.starts, rest = append(f.tokens, tokens[i]), append(f.starts, start), rest[len(tokens[i].name):]
	}
	if len(f.tokens) == 0 {
		return nil, errors.New("it has no YYYY, YY or 0Y in it")
	}
	var err error
	f.whole, err = regexp.Compile(pattern.String() + `(?:[-+_.]?([a-zA-Z][0-9A-Za-z.+_-]*))?$`)
	return f, err
}

// calendar is a version that was read from a tag.
type calendar struct {
	tag      string
	numbers  []int
	modifier string // "rc1"; empty for the version itself
}

func (a calendar) compare(b calendar) int {
	if c := slices.Compare(a.numbers, b.numbers); c != 0 {
		return c
	}
	if (a.modifier == "") != (b.modifier == "") {
		if a.modifier == "" {
			return 1
		}
		return -1
	}
	return cmp.Or(compareModifiers(a.modifier, b.modifier), strings.Compare(a.tag, b.tag))
}

var reRun = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// compareModifiers compares numbers in texts as numbers: rc9 is before rc10.
func compareModifiers(a, b string) int {
	return slices.CompareFunc(reRun.FindAllString(a, -1), reRun.FindAllString(b, -1), func(x, y string) int {
		m, err1 := strconv.Atoi(x)
		n, err2 := strconv.Atoi(y)
		if err1 == nil && err2 == nil {
			return cmp.Compare(m, n)
		}
		return strings.Compare(x, y)
	})
}

// parse reads a tag. The error is a reason for a rejection.
func (f *format) parse(tag string) (calendar, error) {
	m := f.whole.FindStringSubmatch(tag)
	if m == nil {
		return calendar{}, fmt.Errorf("it is not a version %s", f.text)
	}
	numbers, err := f.numbers(m[1 : len(m)-1])
	return calendar{tag: tag, numbers: numbers, modifier: m[len(m)-1]}, err
}

// parseStart reads the first numbers of a version, as many as there are.
func (f *format) parseStart(text string) ([]int, error) {
	for _, start := range f.starts {
		if m := start.FindStringSubmatch(text); m != nil {
			return f.numbers(m[1:])
		}
	}
	return nil, fmt.Errorf("%q does not begin as %s does", text, f.text)
}

func (f *format) numbers(texts []string) ([]int, error) {
	numbers := make([]int, len(texts))
	for i, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		if t := f.tokens[i]; n < t.least || n > t.most {
			return nil, fmt.Errorf("%d is no %s: that is from %d to %d", n, t.name, t.least, t.most)
		}
		numbers[i] = n
	}
	return numbers, nil
}
