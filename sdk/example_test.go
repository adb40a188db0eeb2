package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// A source whose content is the time, in steps.
type clock struct{}

type clockConfig struct {
	Step sdk.Duration `davit:"step,optional" default:"1h" doc:"How often it changes."`
}

type clockRequest = sdk.ObserveRequest[clockConfig, sdk.SourceOutputs]

func (clock) Observe(ctx context.Context, r clockRequest) (sdk.SourceOutputs, error) {
	step := r.Config.Step.Duration()
	if step <= 0 {
		return sdk.SourceOutputs{}, &sdk.Error{Summary: "the step is not positive", Hint: `Write a length of time such as "30s".`, Path: sdk.At("step")}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Truncate(step)
	sdk.Log(ctx, "clock", "it is "+now.Format(time.TimeOnly))
	return sdk.SourceOutputs{Revision: now.Format(time.RFC3339), Time: now.Format(time.RFC3339)}, nil
}

// main of this plugin would be sdk.Serve(plugin).
func Example() {
	plugin := sdk.New("clock", "0.1.0", sdk.Source("clock", clock{}, sdk.Description("Changes with time.")))
	_ = plugin

	// In a test, a method is called as it is.
	var call sdk.TestCall
	out, err := clock{}.Observe(call.Context(context.Background()), clockRequest{Config: clockConfig{Step: sdk.Duration(time.Hour)}})
	fmt.Println(out.Revision, err)
	fmt.Println(call.Logs)
	// Output:
	// 2026-01-02T03:00:00Z <nil>
	// [clock: it is 03:00:00]
}

// A source is pinned when a saved plan is applied: Observe then reproduces what was reviewed.
func ExampleSource() {
	t := sdk.Source("clock", clock{}, sdk.Description("Changes with time."))
	fmt.Println(t.Kind(), t.Name())

	_, err := clock{}.Observe(context.Background(), clockRequest{Config: clockConfig{Step: -1}})
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		fmt.Printf("%s: %s. %s\n", e.Path, e.Summary, e.Hint)
	}
	// Output:
	// source clock
	// step: the step is not positive. Write a length of time such as "30s".
}

// shelf is an image whose tags are in memory.
type shelf map[string]string

type shelfConfig struct {
	Repository string `davit:"repository" doc:"The repository, without a tag."`
}

func (s shelf) Observe(_ context.Context, r sdk.ObserveRequest[shelfConfig, sdk.ImageOutputs]) (sdk.ImageOutputs, error) {
	out := sdk.ImageOutputs{Repository: r.Config.Repository}
	for tag := range s {
		out.Tags = append(out.Tags, tag)
	}
	slices.Sort(out.Tags)
	return out, nil
}

func (s shelf) Resolve(_ context.Context, r sdk.ResolveRequest[shelfConfig]) (sdk.Resolved, error) {
	digest, ok := s[r.Tag]
	if !ok {
		return sdk.Resolved{}, sdk.Errorf(sdk.At("repository"), "%s has no tag %q", r.Config.Repository, r.Tag)
	}
	return sdk.Resolved{Digest: digest}, nil
}

func ExampleImage() {
	s := shelf{"1.0.0": "sha256:aa", "1.1.0": "sha256:bb"}
	t := sdk.Image("shelf", s)
	fmt.Println(t.Kind(), t.Name())

	c := shelfConfig{Repository: "registry.example.com/api"}
	out, _ := s.Observe(context.Background(), sdk.ObserveRequest[shelfConfig, sdk.ImageOutputs]{Config: c})
	fmt.Println(out.Tags)
	tag, _ := s.Resolve(context.Background(), sdk.ResolveRequest[shelfConfig]{Config: c, Tag: "1.1.0"})
	fmt.Println(tag.Digest)
	_, err := s.Resolve(context.Background(), sdk.ResolveRequest[shelfConfig]{Config: c, Tag: "2.0.0"})
	fmt.Println(err)
	// Output:
	// image shelf
	// [1.0.0 1.1.0]
	// sha256:bb
	// registry.example.com/api has no tag "2.0.0"
}

// longest is a policy that prefers long tags.
type longest struct{}

type longestConfig struct {
	Prefix string `davit:"prefix,optional" default:"v" doc:"How a tag must begin."`
}

func (longest) Decide(_ context.Context, r sdk.DecideRequest[longestConfig]) (sdk.Decision, error) {
	var d sdk.Decision
	for _, tag := range r.Candidates.Tags {
		if strings.HasPrefix(tag, r.Config.Prefix) {
			d.Ranked = append(d.Ranked, tag)
		} else {
			d.Rejected = append(d.Rejected, sdk.Rejection{Tag: tag, Reason: "does not begin with " + r.Config.Prefix})
		}
	}
	slices.SortFunc(d.Ranked, func(a, b string) int { return len(b) - len(a) })
	d.Reason = fmt.Sprintf("longest of %d tags", len(d.Ranked))
	return d, nil
}

func ExamplePolicy() {
	t := sdk.Policy("longest", longest{})
	fmt.Println(t.Kind(), t.Name())

	d, _ := longest{}.Decide(context.Background(), sdk.DecideRequest[longestConfig]{
		Config: longestConfig{Prefix: "v"}, Candidates: sdk.Candidates{Tags: []string{"v1", "v1.2.3", "latest"}},
	})
	fmt.Println(d.Ranked, d.Reason)
	fmt.Println(d.Rejected[0].Tag, d.Rejected[0].Reason)
	// Output:
	// policy longest
	// [v1.2.3 v1] longest of 2 tags
	// latest does not begin with v
}

// printer is a notification that prints.
type printer struct{}

type printerConfig struct {
	Prefix string `davit:"prefix,optional" default:"davit" doc:"What each line begins with."`
}

func (printer) Notify(_ context.Context, c printerConfig, e sdk.Event) error {
	fmt.Printf("%s: %s %s: %s\n", c.Prefix, e.Stack, e.Name, e.Summary)
	return nil
}

func ExampleNotification() {
	t := sdk.Notification("printer", printer{})
	fmt.Println(t.Kind(), t.Name())

	err := printer{}.Notify(context.Background(), printerConfig{Prefix: "davit"}, sdk.Event{Name: sdk.EventApplied, Stack: "shop", Summary: "3 done"})
	fmt.Println(err)
	// Output:
	// notification printer
	// davit: shop applied: 3 done
	// <nil>
}
