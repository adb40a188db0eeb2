package registry

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/davit-sh/davit/sdk"
)

type semverConfig struct {
	Range      string        `davit:"range,optional" doc:"Range of versions: \">=1.0.0\", \"~1.4\", \"^2\", \">=1.0.0 <2.0.0 || >=3.0.0\". Without it, all versions are considered."`
	Prerelease bool          `davit:"prerelease,optional" doc:"Consider prereleases (1.2.0-rc.1) even if the range names none."`
	Loose      bool          `davit:"loose,optional" doc:"Read versions of one to four numbers, with or without leading zeros: \"16.2\", \"v1\", \"2024.01.05\", \"3.1.0.4\"."`
	Filter     *filterConfig `davit:"filter,block" doc:"Consider only matching tags."`
	commonConfig
}

type semverPolicy struct{}

// Validate checks the range, the filter and the platforms.
func (semverPolicy) Validate(_ context.Context, c semverConfig) error {
	_, _, err := c.checked()
	return err
}

func (c semverConfig) checked() (*semver.Constraints, selection, error) {
	constraint, err := c.constraint()
	how, err := selected(c.Filter, c.commonConfig, err)
	return constraint, how, err
}

func (c semverConfig) constraint() (*semver.Constraints, error) {
	constraint, err := semver.NewConstraint(cmp.Or(c.Range, "*"))
	if err != nil {
		return nil, &sdk.Error{
			Summary: fmt.Sprintf("%q is not a range of versions", c.Range),
			Detail:  err.Error(),
			Hint:    `ranges look like ">=1.0.0", "~1.4", "^2" or ">=1.0.0 <2.0.0"`,
			Code:    "policy.range", Path: sdk.At("range"),
		}
	}
	constraint.IncludePrerelease = c.Prerelease
	return constraint, nil
}

// Decide chooses the highest version in the range.
func (semverPolicy) Decide(_ context.Context, r sdk.DecideRequest[semverConfig]) (sdk.Decision, error) {
	c := r.Config
	constraint, how, err := c.checked()
	if err != nil {
		return sdk.Decision{}, err
	}
	among := "in range " + c.Range
	if c.Range == "" {
		among = "with a version"
	}
	o := looseOrdering()
	if !c.Loose {
		o = strictOrdering()
	}
	read := o.read
	o.read = func(part string) (version, string) {
		v, refused := read(part)
		if refused != "" || constraint.Check(v.Version) {
			return v, refused
		}
		return v, outside(constraint, v.Version, c.Range)
	}
	return rank(r.Candidates, how, o, ascending, among), nil
}

// outside says why a version is refused: it is a prerelease that would be in range, or it is out of range.
func outside(constraint *semver.Constraints, v *semver.Version, text string) string {
	open := *constraint
	open.IncludePrerelease = true
	if v.Prerelease() != "" && open.Check(v) {
		return "a prerelease"
	}
	return "not in range " + text
}

// version is a semantic version, and the fourth number that some projects add.
type version struct {
	*semver.Version
	fourth uint64
}

func (v version) compareTo(w version) int {
	return cmp.Or(v.Compare(w.Version), cmp.Compare(v.fourth, w.fourth))
}

// strictOrdering reads what semverOrdering reads.
func strictOrdering() ordering[version] {
	strict := semverOrdering()
	return ordering[version]{
		read: func(part string) (version, string) {
			v, refused := strict.read(part)
			return version{Version: v}, refused
		},
		compare: version.compareTo, best: strict.best, worst: strict.worst,
	}
}

var reLoose = regexp.MustCompile(`^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$`)

// looseOrdering reads versions of one to four numbers.
func looseOrdering() ordering[version] {
	return ordering[version]{
		read: func(part string) (version, string) {
			m := reLoose.FindStringSubmatch(part)
			if m == nil {
				return version{}, "not a version"
			}
			var n [4]uint64
			for i, digits := range m[1:5] {
				if digits == "" {
					continue
				}
				var err error
				if n[i], err = strconv.ParseUint(digits, 10, 64); err != nil {
					return version{}, "not a version: " + digits + " is too large"
				}
			}
			pre := strings.Trim(m[5], ".-")
			return version{semver.New(n[0], n[1], n[2], pre, m[6]), n[3]}, ""
		},
		compare: version.compareTo, best: "highest", worst: "lowest",
	}
}
