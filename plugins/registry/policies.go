package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

type numericalConfig struct {
	Order  string        `davit:"order,optional" default:"asc" doc:"\"asc\" chooses the highest number, \"desc\" the lowest."`
	Filter *filterConfig `davit:"filter,block" doc:"Consider only matching tags."`
	commonConfig
}

type numericalPolicy struct{}

// Validate checks the order and the filter.
func (numericalPolicy) Validate(_ context.Context, c numericalConfig) error {
	_, err := selected(c.Filter, c.commonConfig, checkOrder(c.Order))
	return err
}

// Decide chooses by number.
func (numericalPolicy) Decide(_ context.Context, r sdk.DecideRequest[numericalConfig]) (sdk.Decision, error) {
	c := r.Config
	how, err := selected(c.Filter, c.commonConfig, checkOrder(c.Order))
	if err != nil {
		return sdk.Decision{}, err
	}
	return rank(r.Candidates, how, numericalOrdering(), c.Order, "with a number"), nil
}

// selected checks what narrows the tags down, together with what else was found.
func selected(f *filterConfig, c commonConfig, found ...error) (selection, error) {
	filter, filterErr := compileFilter(f, sdk.At("filter"))
	common, commonErr := c.checked()
	return selection{filter, common}, findings(append(found, filterErr, commonErr)...)
}

type alphabeticalConfig struct {
	Order  string        `davit:"order,optional" default:"asc" doc:"\"asc\" chooses the last tag in alphabetical order, \"desc\" the first."`
	Filter *filterConfig `davit:"filter,block" doc:"Consider only matching tags."`
	commonConfig
}

type alphabeticalPolicy struct{}

// Validate checks the order and the filter.
func (alphabeticalPolicy) Validate(_ context.Context, c alphabeticalConfig) error {
	_, err := selected(c.Filter, c.commonConfig, checkOrder(c.Order))
	return err
}

// Decide chooses by the order of the characters' codes.
func (alphabeticalPolicy) Decide(_ context.Context, r sdk.DecideRequest[alphabeticalConfig]) (sdk.Decision, error) {
	c := r.Config
	how, err := selected(c.Filter, c.commonConfig, checkOrder(c.Order))
	if err != nil {
		return sdk.Decision{}, err
	}
	return rank(r.Candidates, how, alphabeticalOrdering(), c.Order, ""), nil
}

type regexConfig struct {
	Pattern string `davit:"pattern" doc:"Regular expression (RE2) that a tag must match. It is not anchored: write ^ and $."`
	Extract string `davit:"extract,optional" doc:"Text to compare instead of the whole tag: \"$1\" or \"$name\" of a group in the pattern."`
	OrderBy string `davit:"order_by,optional" default:"alphabetical" doc:"How the text is compared: \"semver\", \"numerical\" or \"alphabetical\"."`
	Order   string `davit:"order,optional" default:"asc" doc:"\"asc\" chooses the highest, \"desc\" the lowest."`
	commonConfig
}

type regexPolicy struct{}

// Validate checks the pattern, the extraction and the order.
func (regexPolicy) Validate(_ context.Context, c regexConfig) error {
	_, err := c.checked()
	return err
}

func (c regexConfig) checked() (selection, error) {
	f, err := compileFilter(&filterConfig{Pattern: c.Pattern, Extract: c.Extract}, nil)
	how, more := selected(nil, c.commonConfig, err, checkOrder(c.Order), checkOrderBy(c.OrderBy))
	how.filter = f
	return how, more
}

// The ways to compare, as regexConfig.OrderBy.
const (
	bySemver       = "semver"
	byNumber       = "numerical"
	byAlphabetical = "alphabetical"
)

func checkOrderBy(by string) error {
	switch by {
	case "", bySemver, byNumber, byAlphabetical:
		return nil
	}
	return &sdk.Error{
		Summary: fmt.Sprintf("order_by is \"semver\", \"numerical\" or \"alphabetical\", not %q", by),
		Code:    "policy.order", Path: sdk.At("order_by"),
	}
}

// Decide chooses among the tags that match. By semver, prereleases take part: the pattern says which are wanted.
func (regexPolicy) Decide(_ context.Context, r sdk.DecideRequest[regexConfig]) (sdk.Decision, error) {
	c := r.Config
	how, err := c.checked()
	if err != nil {
		return sdk.Decision{}, err
	}
	switch c.OrderBy {
	case bySemver:
		return rank(r.Candidates, how, semverOrdering(), c.Order, ""), nil
	case byNumber:
		return rank(r.Candidates, how, numericalOrdering(), c.Order, ""), nil
	}
	return rank(r.Candidates, how, alphabeticalOrdering(), c.Order, ""), nil
}

type digestConfig struct {
	Tag string `davit:"tag" doc:"The tag to follow."`
}

type digestPolicy struct{}

// Validate checks the tag.
func (digestPolicy) Validate(_ context.Context, c digestConfig) error {
	return at(oci.CheckTag(c.Tag), "tag")
}

// Decide chooses the followed tag, if it is there.
func (digestPolicy) Decide(_ context.Context, r sdk.DecideRequest[digestConfig]) (sdk.Decision, error) {
	c := r.Config
	d := sdk.Decision{Reason: fmt.Sprintf("the tag %s does not exist", c.Tag)}
	for _, tag := range distinct(r.Candidates) {
		if tag == c.Tag {
			d.Ranked = []string{tag}
			d.Reason = tag + " is the followed tag"
			continue
		}
		d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: "not the tag " + c.Tag})
	}
	return d, nil
}

// findings joins the errors that are there into sdk.Errors, so that all are told at once.
func findings(errs ...error) error {
	var all sdk.Errors
	for _, err := range errs {
		if e, ok := errors.AsType[*sdk.Error](err); ok {
			all = append(all, e)
		} else if err != nil {
			return err
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}
