package registry

import (
	"context"
	"fmt"

	"github.com/Masterminds/semver/v3"
	"github.com/davit-sh/davit/sdk"
)

type semverConfig struct {
	Range      string        `davit:"range" doc:"Range of versions: \">=1.0.0\", \"~1.4\", \"^2\", \">=1.0.0 <2.0.0 || >=3.0.0\"."`
	Prerelease bool          `davit:"prerelease,optional" doc:"Consider prereleases (1.2.0-rc.1) even if the range names none."`
	Filter     *filterConfig `davit:"filter,block" doc:"Consider only matching tags."`
}

type semverPolicy struct{}

// Validate checks the range and the filter.
func (semverPolicy) Validate(_ context.Context, c semverConfig) error {
	_, _, err := c.checked()
	return err
}

func (c semverConfig) checked() (*semver.Constraints, *filter, error) {
	constraint, rangeErr := c.constraint()
	f, filterErr := compileFilter(c.Filter, sdk.At("filter"))
	return constraint, f, findings(rangeErr, filterErr)
}

func (c semverConfig) constraint() (*semver.Constraints, error) {
	constraint, err := semver.NewConstraint(c.Range)
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
	constraint, f, err := c.checked()
	if err != nil {
		return sdk.Decision{}, err
	}
	o := semverOrdering()
	read := o.read
	o.read = func(part string) (*semver.Version, string) {
		v, refused := read(part)
		if refused != "" || constraint.Check(v) {
			return v, refused
		}
		return v, outside(constraint, v, c.Range)
	}
	return rank(r.Candidates, f, o, ascending, "in range "+c.Range+f.words()), nil
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
