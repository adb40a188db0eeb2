package registry

import (
	"math/big"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// semverOrdering reads semantic versions with three numbers, with or without a "v" before them:
// "1.0" or "20240101" are more likely something else.
func semverOrdering() ordering[*semver.Version] {
	return ordering[*semver.Version]{
		read: func(part string) (*semver.Version, string) {
			v, err := semver.StrictNewVersion(strings.TrimPrefix(part, "v"))
			if err != nil {
				return nil, "not a semantic version"
			}
			return v, ""
		},
		compare: func(a, b *semver.Version) int { return a.Compare(b) },
		best:    "highest", worst: "lowest",
	}
}

var reNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// numericalOrdering reads decimal numbers of any length, so that a time in nanoseconds is exact.
func numericalOrdering() ordering[*big.Rat] {
	return ordering[*big.Rat]{
		read: func(part string) (*big.Rat, string) {
			if !reNumber.MatchString(part) {
				return nil, "not a number"
			}
			v, ok := new(big.Rat).SetString(part)
			if !ok {
				return nil, "not a number"
			}
			return v, ""
		},
		compare: func(a, b *big.Rat) int { return a.Cmp(b) },
		best:    "highest", worst: "lowest",
	}
}

func alphabeticalOrdering() ordering[string] {
	return ordering[string]{
		read:    func(part string) (string, string) { return part, "" },
		compare: strings.Compare,
		best:    "last in alphabetical order", worst: "first in alphabetical order",
	}
}
