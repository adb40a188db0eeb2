package oci

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/dustin/go-humanize"
)

type (
	planRequest = sdk.PlanRequest[Config, Outputs]
	planResult  = sdk.PlanResult[Outputs]
)

// Plan says whether there is something to build: not if the same inputs were built before, here or on another machine.
func (b builder) Plan(ctx context.Context, r planRequest) (planResult, error) {
	if r.Destroy {
		var was sdk.Record[Config, Outputs]
		if r.Prior != nil {
			was = *r.Prior
		}
		return planned(build.PlanDestroy(was.Outputs.BuildOutputs, was.Private, format, r.Config.DeleteOnDestroy)), nil
	}
	if err := b.Validate(ctx, r.Config); err != nil {
		return planResult{}, err
	}
	pinned := ""
	if reviewed := build.Decode(r.Private, format); reviewed != nil {
		pinned = reviewed.Bases[r.Config.Base]
	}
	in, err := gather(ctx, r.Config, pinned)
	if err != nil {
		return planResult{}, err
	}
	var prior *build.Prior
	if r.Prior != nil {
		prior = &build.Prior{Outputs: r.Prior.Outputs.BuildOutputs, Private: r.Prior.Private}
	}
	res, err := build.Plan(ctx, build.Wish{
		Repository: r.Config.Repository, Tag: r.Config.Tag, Insecure: r.Config.Insecure, Overwrite: r.Config.Overwrite,
		Source: r.Config.Source, Key: in.key, Platforms: in.platforms, Unmatched: in.unmatched, Describe: in.describe,
		Inputs: in.remembered(r.Config),
	}, prior)
	return planned(res), err
}

func planned(r build.Result) planResult {
	return planResult{Action: r.Action, Reasons: r.Reasons, Causes: r.Causes, Claims: r.Claims, Items: r.Items, Outputs: Outputs{r.Outputs}, Private: r.Private}
}

// remembered are the inputs as a record tells them apart.
func (in *inputs) remembered(c Config) build.Inputs {
	var layout strings.Builder
	for _, l := range in.layers {
		for _, f := range l.files {
			fmt.Fprintf(&layout, "%q %q %o %q\n", f.Path, f.name, f.mode, l.platforms)
		}
		layout.WriteString("\n")
	}
	out := build.Inputs{Format: format, Files: in.files, Settings: c.settings(), Layout: layout.String()}
	if in.base != "" {
		out.Bases = map[string]string{c.Base: in.base}
	}
	return out
}

// describe says what a platform's image is made of: "14 files, 31 kB in 2 layers".
func (in *inputs) describe(platform string) string {
	layers, files, size := 0, 0, int64(0)
	for _, l := range in.layers {
		if len(l.platforms) > 0 && !slices.Contains(l.platforms, platform) {
			continue
		}
		layers++
		for _, f := range l.files {
			files++
			size += f.Size
		}
	}
	s := fmt.Sprintf("%s, %s", text.Count(files, "file"), humanize.Bytes(uint64(max(size, 0))))
	if layers != 1 {
		s += " in " + text.Count(layers, "layer")
	}
	return s
}
