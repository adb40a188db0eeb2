package oci

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

var (
	rePlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$`)
	rePort     = regexp.MustCompile(`^[0-9]{1,5}(/(tcp|udp|sctp))?$`)
	reEnv      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

// Validate checks the configuration without looking at files or registries.
func (builder) Validate(_ context.Context, c Config) error {
	var f findings
	add := f.add
	_, err := registry.Repository(c.Repository, c.Insecure)
	add(err, sdk.At("repository"))
	add(checkTag(c.Tag), sdk.At("tag"))
	add(checkInside(c.Context), sdk.At("context"))
	if c.Base != "" {
		_, err := registry.Parse(c.Base, false)
		add(err, sdk.At("base"))
	}
	if c.To != "" && len(c.Layers) > 0 {
		add(errors.New(`"to" cannot be combined with layer blocks: set "to" in each block`), sdk.At("to"))
	}
	add(checkTarget(c.To), sdk.At("to"))
	for i, p := range c.Triggers {
		add(checkPattern(p), sdk.At("triggers").Index(i))
	}
	for i, p := range c.Platforms {
		add(checkPlatform(p, c.Platforms[:i]), sdk.At("platforms").Index(i))
	}
	for i, l := range c.Layers {
		checkLayer(l, c.platforms(), func(err error, path sdk.Path) {
			add(err, sdk.At("layer").Index(i).Join(path))
		})
	}
	checkSettings(c, add)
	return f.err()
}

// findings collects what is wrong with a configuration.
type findings struct{ all sdk.Errors }

// add adds a finding about an attribute; nil is none.
func (f *findings) add(err error, path sdk.Path) {
	if err == nil {
		return
	}
	e := &sdk.Error{Summary: err.Error()}
	if known, ok := errors.AsType[*sdk.Error](err); ok {
		e = known
	}
	if e.Path == nil {
		e.Path = path
	}
	f.all = append(f.all, e)
}

func (f *findings) err() error {
	if len(f.all) == 0 {
		return nil
	}
	return f.all
}

func checkLayer(l Layer, platforms []string, add func(err error, path sdk.Path)) {
	add(checkPattern(l.From), sdk.At("from"))
	if l.To == "" {
		add(errors.New(`"to" is missing: set a folder in the image, such as "/app"`), sdk.At("to"))
	}
	add(checkTarget(l.To), sdk.At("to"))
	add(checkInside(l.Strip), sdk.At("strip"))
	if l.Mode != "" {
		if n, err := strconv.ParseUint(l.Mode, 8, 32); err != nil || n > 0o7777 {
			add(fmt.Errorf("%q is not an octal mode such as 0644", l.Mode), sdk.At("mode"))
		}
	}
	for i, p := range l.Platforms {
		if !slices.Contains(platforms, p) {
			add(fmt.Errorf("the build has no platform %q: it has %s", p, strings.Join(platforms, ", ")), sdk.At("platforms").Index(i))
		}
	}
}

func checkSettings(c Config, add func(err error, path sdk.Path)) {
	for i, p := range c.Ports {
		number, _, _ := strings.Cut(p, "/")
		if n, _ := strconv.Atoi(number); !rePort.MatchString(p) || n < 1 || n > 65535 {
			add(fmt.Errorf(`%q is not a port such as "8080" or "53/udp"`, p), sdk.At("ports").Index(i))
		}
	}
	for k := range c.Env {
		if !reEnv.MatchString(k) {
			add(fmt.Errorf("%q is not the name of an environment variable", k), sdk.At("env").Key(k))
		}
	}
	if c.Workdir != "" && !path.IsAbs(c.Workdir) {
		add(errors.New("workdir must be an absolute path"), sdk.At("workdir"))
	}
}

func checkTag(tag string) error {
	if registry.IsKeyTag(tag) {
		return errors.New("tags of this form are reserved for davit")
	}
	return registry.CheckTag(tag)
}

func checkPattern(p string) error {
	if p == "" || !doublestar.ValidatePattern(p) {
		return fmt.Errorf("%q is not a pattern of file names", p)
	}
	return checkInside(p)
}

// checkInside refuses paths that leave the folder they are relative to.
func checkInside(p string) error {
	if path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), "..") {
		return fmt.Errorf(`%q must be a relative path without ".."`, p)
	}
	return nil
}

func checkTarget(p string) error {
	if p == "" {
		return nil
	}
	if !path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), "..") {
		return fmt.Errorf(`%q must be an absolute path without ".."`, p)
	}
	return nil
}

func checkPlatform(p string, before []string) error {
	if !rePlatform.MatchString(p) {
		return fmt.Errorf(`%q is not a platform such as "linux/arm64" or "linux/arm/v7"`, p)
	}
	if slices.Contains(before, p) {
		return fmt.Errorf("the platform %q is listed twice", p)
	}
	return nil
}

// platforms returns the platforms, sorted: their order means nothing.
func (c Config) platforms() []string {
	if len(c.Platforms) == 0 {
		return []string{"linux/amd64", "linux/arm64"}
	}
	return slices.Sorted(slices.Values(c.Platforms))
}
