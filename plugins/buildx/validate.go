package buildx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/containerd/platforms"
	registry "github.com/davit-sh/davit/plugins/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

// Validate checks the configuration without looking at files or registries.
func (builder) Validate(_ context.Context, c Config) error {
	var all sdk.Errors
	add := func(err error, path ...any) {
		if err == nil {
			return
		}
		var known *sdk.Error
		if !errors.As(err, &known) {
			known = &sdk.Error{Summary: err.Error()}
		}
		if known.Path == nil {
			known.Path = path
		}
		all = append(all, known)
	}
	_, err := registry.Repository(c.Repository, c.Insecure)
	add(err, "repository")
	if registry.IsKeyTag(c.Tag) {
		add(errors.New("tags like this one are davit's own"), "tag")
	} else {
		add(registry.CheckTag(c.Tag), "tag")
	}
	for i, p := range c.Platforms {
		if _, err := platforms.Parse(p); err != nil {
			add(fmt.Errorf(`%q is not a platform such as "linux/arm64" or "linux/arm/v7"`, p), "platforms", i)
		}
		if slices.Contains(c.Platforms[:i], p) {
			add(fmt.Errorf("the platform %q is listed twice", p), "platforms", i)
		}
	}
	for i, p := range c.Triggers {
		if p == "" || !doublestar.ValidatePattern(p) {
			add(fmt.Errorf("%q is not a pattern of file names", p), "triggers", i)
		}
	}
	if c.BuildKit != "" && c.Builder != "" {
		add(errors.New("give either buildkit or builder: they are two ways to the same thing"), "builder")
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// address is where the daemon is.
func (c Config) address() (string, error) {
	if c.BuildKit != "" {
		return c.BuildKit, nil
	}
	if host := os.Getenv("BUILDKIT_HOST"); host != "" {
		return host, nil
	}
	return "", &sdk.Error{Summary: "there is nothing to build with", Path: sdk.At("buildkit"), Code: "buildx.no_builder",
		Hint: "set buildkit to a BuildKit daemon, or builder to the name of a docker buildx builder, or BUILDKIT_HOST in the environment"}
}
