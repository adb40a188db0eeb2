package registry

import (
	"context"
	"time"

	"github.com/davit-sh/davit/sdk"
)

type newestConfig struct {
	Filter *filterConfig `davit:"filter,block" doc:"Consider only matching tags. A pattern keeps the number of images low that are looked at."`
	commonConfig
}

type newestPolicy struct{}

// Validate checks the filter and the platforms.
func (newestPolicy) Validate(_ context.Context, c newestConfig) error {
	_, err := selected(c.Filter, c.commonConfig)
	return err
}

// Decide chooses the image that was created last. It looks at every tag that takes part: registries do not list them by time.
func (newestPolicy) Decide(_ context.Context, r sdk.DecideRequest[newestConfig]) (sdk.Decision, error) {
	how, err := selected(r.Config.Filter, r.Config.commonConfig)
	if err != nil {
		return sdk.Decision{}, err
	}
	var unseen []string
	for _, tag := range distinct(r.Candidates) {
		if _, refused := how.part(tag); refused != "" {
			continue
		}
		if _, seen := r.Candidates.Facts[tag]; !seen {
			unseen = append(unseen, tag)
		}
	}
	if len(unseen) > 0 {
		return sdk.Decision{LookAt: unseen}, nil
	}
	byTag := selection{common: how.common} // the time is compared, and not a part of the tag
	o := ordering[time.Time]{
		read: func(tag string) (time.Time, string) {
			if _, refused := how.part(tag); refused != "" {
				return time.Time{}, refused
			}
			f := r.Candidates.Facts[tag]
			switch {
			case f.Digest == "": // it was withdrawn: no older one takes its place unseen
				return time.Unix(1<<60, 0), ""
			case f.Artifact != "":
				return time.Time{}, "not an image (" + f.Artifact + ")"
			case f.Created.IsZero():
				return time.Time{}, "it does not say when it was created"
			}
			return f.Created, ""
		},
		compare: time.Time.Compare,
		best:    "newest", worst: "oldest",
	}
	return rank(r.Candidates, byTag, o, ascending, how.filter.words()), nil
}
