package registry

import (
	"context"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

type calverConfig struct {
	Format string        `davit:"format" doc:"How a version is written, in the words of calver.org: \"YYYY.0M.MICRO\", \"YY.MM\", \"YYYY0M0D-MICRO\". Words: YYYY, YY, 0Y, MM, 0M, WW, 0W, DD, 0D, MAJOR, MINOR, MICRO. A \"v\" before it may be there."`
	Filter *filterConfig `davit:"filter,block" doc:"Consider only matching tags."`
	commonConfig
}

type calverPolicy struct{}

// Validate checks the format, the filter and the platforms.
func (calverPolicy) Validate(_ context.Context, c calverConfig) error {
	_, _, err := c.checked()
	return err
}

func (c calverConfig) checked() (*regexp.Regexp, selection, error) {
	re, err := compileCalver(c.Format)
	how, err := selected(c.Filter, c.commonConfig, err)
	return re, how, err
}

// Decide chooses the latest version: the numbers are compared in the order of the format.
func (calverPolicy) Decide(_ context.Context, r sdk.DecideRequest[calverConfig]) (sdk.Decision, error) {
	re, how, err := r.Config.checked()
	if err != nil {
		return sdk.Decision{}, err
	}
	o := ordering[[]*big.Int]{
		read: func(part string) ([]*big.Int, string) {
			m := re.FindStringSubmatch(part)
			if m == nil {
				return nil, "not written as " + r.Config.Format
			}
			var numbers []*big.Int
			for _, digits := range m[1:] {
				n, _ := new(big.Int).SetString(digits, 10) // the pattern lets digits through only
				numbers = append(numbers, n)
			}
			return numbers, ""
		},
		compare: func(a, b []*big.Int) int { return slices.CompareFunc(a, b, (*big.Int).Cmp) },
		best:    "latest", worst: "earliest",
	}
	return rank(r.Candidates, how, o, ascending, "written as "+r.Config.Format), nil
}

// calverWords are the words of a format, longest first, and the digits that each stands for (calver.org).
var calverWords = []struct{ word, digits string }{
	{"YYYY", `(\d{4})`}, {"MAJOR", `(\d+)`}, {"MINOR", `(\d+)`}, {"MICRO", `(\d+)`},
	{"YY", `(\d{1,3})`}, {"0Y", `(\d{2,3})`}, {"MM", `(1[0-2]|[1-9])`}, {"0M", `(0[1-9]|1[0-2])`},
	{"WW", `(5[0-3]|[1-4]\d|[1-9])`}, {"0W", `(0[1-9]|[1-4]\d|5[0-3])`}, {"DD", `(3[01]|[12]\d|[1-9])`}, {"0D", `(0[1-9]|[12]\d|3[01])`},
}

// compileCalver makes the pattern of a format.
func compileCalver(format string) (*regexp.Regexp, error) {
	bad := func(detail string) error {
		return &sdk.Error{
			Summary: fmt.Sprintf("%q is not a format of calendar versions", format),
			Detail:  detail,
			Hint:    `formats look like "YYYY.0M.MICRO" or "YY.MM"`,
			Code:    "policy.format", Path: sdk.At("format"),
		}
	}
	var pattern strings.Builder
	pattern.WriteString("^v?")
	words := 0
	for rest := format; rest != ""; {
		i := slices.IndexFunc(calverWords, func(w struct{ word, digits string }) bool { return strings.HasPrefix(rest, w.word) })
		switch {
		case i >= 0:
			pattern.WriteString(calverWords[i].digits)
			rest = rest[len(calverWords[i].word):]
			words++
		case strings.ContainsRune("._-", rune(rest[0])):
			pattern.WriteString(regexp.QuoteMeta(rest[:1]))
			rest = rest[1:]
		default:
			return nil, bad(fmt.Sprintf("%q is neither a word of a format nor one of '.', '_' and '-'.", rest))
		}
	}
	if words == 0 {
		return nil, bad("It has no words.")
	}
	return regexp.Compile(pattern.String() + "$")
}
