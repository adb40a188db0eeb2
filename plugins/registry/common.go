package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

// commonConfig is what most policies have: what of the tags takes no part, whatever the order.
type commonConfig struct {
	Exclude   []string `davit:"exclude,optional" doc:"Regular expressions (RE2) of tags that are not considered. They are not anchored: write ^ and $."`
	Platforms []string `davit:"platforms,optional" doc:"Platforms that an image must have, all of them: \"linux/arm/v7\". The best tags are looked at until one has them."`
}

// common is a checked commonConfig.
type common struct {
	exclude   exclusions
	platforms []string
}

var rePlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`)

func (c commonConfig) checked() (common, error) {
	exclude, err := compileExclude(c.Exclude)
	bad := []error{err}
	for i, p := range c.Platforms {
		if !rePlatform.MatchString(p) {
			bad = append(bad, &sdk.Error{
				Summary: fmt.Sprintf("%q is not a platform", p),
				Hint:    "write it as os/architecture or os/architecture/variant: linux/arm64, linux/arm/v7",
				Code:    "policy.platform", Path: sdk.At("platforms").Index(i),
			})
		}
	}
	return common{exclude, c.Platforms}, findings(bad...)
}

// refuses says why a tag does not take part by its name alone, "" if it does.
func (c common) refuses(tag string) string {
	if pattern := c.exclude.by(tag); pattern != "" {
		return "excluded by " + pattern
	}
	return ""
}

// narrow takes out of the ranked tags, from the best one on, those that lack a platform, until one has them all. It asks for what it needs to
// know; more tags at a time, the longer it takes.
func (c common) narrow(ranked []string, facts map[string]sdk.Resolved) (rest []string, rejected []sdk.Rejection, lookAt []string) {
	if len(c.platforms) == 0 {
		return ranked, nil, nil
	}
	for i, tag := range ranked {
		f, known := facts[tag]
		if !known {
			return nil, nil, ranked[i:min(len(ranked), 2*i+1)]
		}
		if why := c.lacking(f); why != "" {
			rejected = append(rejected, sdk.Rejection{Tag: tag, Reason: why})
			continue
		}
		return ranked[i:], rejected, nil
	}
	return nil, rejected, nil
}

// lacking says what an image lacks. Of a tag that was withdrawn nothing is known: it stays, so that no older one takes its place unseen.
func (c common) lacking(f sdk.Resolved) string {
	if f.Digest == "" {
		return ""
	}
	if f.Artifact != "" {
		return "not an image (" + f.Artifact + ")"
	}
	var missing []string
	for _, p := range c.platforms {
		if !slices.Contains(f.Platforms, p) && !slices.Contains(f.Platforms, p+defaultVariant(p)) {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "no image for " + strings.Join(missing, ", ")
}

// defaultVariant is the variant that builders write, or leave out, for the only one that there is of an architecture.
func defaultVariant(platform string) string {
	if strings.HasSuffix(platform, "/arm64") {
		return "/v8"
	}
	return ""
}

// words adds the platforms to a reason.
func (c common) words() string {
	if len(c.platforms) == 0 {
		return ""
	}
	return " for " + strings.Join(c.platforms, ", ")
}
