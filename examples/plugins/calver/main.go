// Command davit-calver is a davit plugin: a policy that chooses by calendar version (https://calver.org).
package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/davit-sh/davit/sdk"
)

const version = "1.0.0"

type config struct {
	Format     string `davit:"format,optional" default:"YYYY.0M.MICRO" pattern:"YYYY|YY|0Y" doc:"What a tag looks like: YYYY, YY, 0Y, MM, 0M, WW, 0W, DD, 0D, MAJOR, MINOR and MICRO are numbers; everything else is as it stands."`
	NotAfter   string `davit:"not_after,optional" doc:"The last version that is acceptable, in the same format, in whole or from its start: 2026.06."`
	Prerelease bool   `davit:"prerelease,optional" default:"false" doc:"Accept tags with something after the version, such as 2026.06.1-rc1. They are older than the version itself."`
}

// calver is a pure function: which versions there are is all that it goes by, not today's date.
type calver struct{}

// Validate looks at the format, whatever the candidates are.
func (calver) Validate(_ context.Context, c config) error {
	f, err := parseFormat(c.Format)
	if err != nil {
		return &sdk.Error{Summary: "this is not a format of calendar versions", Path: sdk.At("format"), Err: err}
	}
	if c.NotAfter == "" {
		return nil
	}
	if _, err := f.parseStart(c.NotAfter); err != nil {
		return &sdk.Error{Summary: "this is not the start of a version in the format " + c.Format, Path: sdk.At("not_after"), Err: err}
	}
	return nil
}

// Decide ranks the tags that are versions, newest first.
func (calver) Decide(_ context.Context, r sdk.DecideRequest[config]) (sdk.Decision, error) {
	c := r.Config
	var d sdk.Decision
	f, err := parseFormat(c.Format)
	if err != nil {
		return d, err // Validate has said it
	}
	var last []int
	if c.NotAfter != "" {
		if last, err = f.parseStart(c.NotAfter); err != nil {
			return d, err
		}
	}
	var found []calendar
	for _, tag := range r.Candidates.Tags {
		v, err := f.parse(tag)
		switch {
		case err != nil:
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: err.Error()})
		case v.modifier != "" && !c.Prerelease:
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: "it is a prerelease"})
		case last != nil && slices.Compare(v.numbers[:min(len(last), len(v.numbers))], last) > 0:
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: "it is after " + c.NotAfter})
		default:
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b calendar) int { return b.compare(a) })
	for _, v := range found {
		d.Ranked = append(d.Ranked, v.tag)
	}
	d.Reason = fmt.Sprintf("newest of %d calendar versions %s", len(found), c.Format)
	return d, nil
}

func plugin() *sdk.Plugin {
	return sdk.New("calver", version, sdk.Policy("calendar", calver{}, sdk.Description("Chooses the newest calendar version.")))
}

func main() { sdk.Serve(plugin()) }
