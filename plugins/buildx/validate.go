package buildx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/containerd/platforms"
	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

// checks are findings so far.
type checks struct{ all sdk.Errors }

func (k *checks) add(err error, path sdk.Path) {
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
	k.all = append(k.all, known)
}

// Validate checks the configuration without looking at files or registries.
func (builder) Validate(_ context.Context, c Config) error {
	var k checks
	_, err := registry.Repository(c.Repository, c.Insecure)
	k.add(err, sdk.At("repository"))
	if registry.IsKeyTag(c.Tag) {
		k.add(errors.New("tags of this form are reserved for davit"), sdk.At("tag"))
	} else {
		k.add(registry.CheckTag(c.Tag), sdk.At("tag"))
	}
	for i, p := range c.Triggers {
		if p == "" || !doublestar.ValidatePattern(p) {
			k.add(fmt.Errorf("%q is not a pattern of file names", p), sdk.At("triggers").Index(i))
		}
	}
	if c.Dockerfile != "" && !fs.ValidPath(path.Clean(c.Dockerfile)) {
		k.add(errors.New("the Dockerfile must be inside the context, and its path relative to the context"), sdk.At("dockerfile"))
	}
	if c.Timeout.Duration() <= 0 {
		k.add(errors.New("timeout must be longer than 0s"), sdk.At("timeout"))
	}
	k.platforms(c)
	k.arguments(c)
	k.builder(c)
	if c.Cache != nil {
		k.cache(c)
	}
	if len(k.all) > 0 {
		return k.all
	}
	return nil
}

func (k *checks) platforms(c Config) {
	seen := map[string]bool{}
	for i, p := range c.Platforms {
		parsed, err := platforms.Parse(p)
		if err != nil || parsed.OS == "" || parsed.Architecture == "" || !strings.Contains(p, "/") {
			k.add(fmt.Errorf(`%q is not a platform such as "linux/arm64" or "linux/arm/v7"`, p), sdk.At("platforms").Index(i))
			continue
		}
		if n := normalPlatform(p); seen[n] {
			k.add(fmt.Errorf("the platform %q is listed twice", n), sdk.At("platforms").Index(i))
		} else {
			seen[n] = true
		}
	}
}

var (
	reName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// reCommand are environment variables that docker, or what it is made of, goes by.
	reCommand = regexp.MustCompile(`^(?i:(PATH|HOME|USER|TMPDIR|KUBECONFIG|SOURCE_DATE_EPOCH|(HTTP|HTTPS|NO|ALL|FTP)_PROXY)$|(DOCKER|BUILDX|BUILDKIT|EXPERIMENTAL|OTEL|LD|DYLD|GO|GRPC|SSL|SSH|XDG|DAVIT|AWS|AZURE|GOOGLE)_|GODEBUG$)`)
)

const ownLabels = "sh.davit."

func (k *checks) arguments(c Config) {
	for _, name := range slices.Sorted(maps.Keys(c.buildArgs())) {
		_, sensitive := c.SensitiveArgs[name]
		_, plain := c.Args[name]
		attribute := "args"
		if sensitive {
			attribute = "sensitive_args"
		}
		switch {
		case !reName.MatchString(name):
			k.add(fmt.Errorf("%q is not the name of a build argument", name), sdk.At(attribute))
		case sensitive && plain:
			k.add(fmt.Errorf("the build argument %s is also in args", name), sdk.At(attribute))
		case sensitive && c.Builder != "" && reCommand.MatchString(name):
			k.add(fmt.Errorf("with builder, docker would read the sensitive build argument %s as one of its own settings: rename it", name), sdk.At(attribute))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		if name == "" || strings.HasPrefix(name, ownLabels) || strings.ContainsAny(name, "=\n") {
			k.add(fmt.Errorf("the label %q cannot be set: %s* is reserved for davit", name, ownLabels), sdk.At("labels"))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Secrets)) {
		if id == "" || c.Secrets[id] == "" || c.Secrets[id] == "env:" {
			k.add(&sdk.Error{Summary: "a secret needs an id, and either a file or env:NAME"}, sdk.At("secrets").Key(id))
		}
	}
}

func (k *checks) builder(c Config) {
	if c.BuildKit != "" && c.Builder != "" {
		k.add(errors.New("buildkit and builder cannot be combined: set one of them"), sdk.At("builder"))
	}
	if strings.HasPrefix(c.Builder, "-") {
		k.add(fmt.Errorf("%q is not the name of a builder", c.Builder), sdk.At("builder"))
	}
	scheme := ""
	if c.BuildKit != "" {
		u, err := url.Parse(c.BuildKit)
		if err != nil || (u.Scheme != "unix" || u.Path == "") && (u.Scheme != "tcp" || u.Port() == "") {
			k.add(errors.New("the address of a BuildKit daemon must be unix:///path/of/socket or tcp://host:port"), sdk.At("buildkit"))
			return
		}
		scheme = u.Scheme
	}
	switch {
	case c.TLS == nil:
	case c.Builder != "" || scheme == "unix":
		k.add(errors.New("tls is only for a daemon at tcp://"), sdk.At("tls"))
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		k.add(errors.New("set both cert and key, or neither"), sdk.At("tls"))
	}
}

func (k *checks) cache(c Config) {
	if _, err := registry.Parse(c.Cache.Ref, c.Insecure); err != nil {
		k.add(err, sdk.At("cache").Attribute("ref"))
	}
	if c.Cache.Mode != "min" && c.Cache.Mode != "max" {
		k.add(fmt.Errorf(`%q is not "min" or "max"`, c.Cache.Mode), sdk.At("cache").Attribute("mode"))
	}
}
