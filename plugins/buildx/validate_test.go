package buildx

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
)

func valid() Config {
	return Config{Context: ".", Dockerfile: "Dockerfile", Repository: "registry.example.com/team/app", Tag: "1.0.0", Timeout: sdk.Duration(time.Minute)}
}

func TestConfigurationsThatAreWell(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"the least":       func(*Config) {},
		"platforms":       func(c *Config) { c.Platforms = []string{"linux/arm/v7", "linux/arm64", "linux/amd64", "windows/amd64"} },
		"a socket":        func(c *Config) { c.BuildKit = "unix:///run/buildkit/buildkitd.sock" },
		"a port":          func(c *Config) { c.BuildKit, c.TLS = "tcp://buildkit:1234", &TLS{Cert: "c", Key: "k"} },
		"an IPv6 address": func(c *Config) { c.BuildKit = "tcp://[::1]:1234" },
		"a builder":       func(c *Config) { c.Builder = "mine" },
		"a cache":         func(c *Config) { c.Cache = &Cache{Ref: "registry.example.com/cache", Mode: "min"} },
		"a Dockerfile":    func(c *Config) { c.Dockerfile = "./docker/api.Dockerfile" },
		"arguments": func(c *Config) {
			c.Args, c.SensitiveArgs = map[string]string{"PATH": "/x"}, map[string]string{"TOKEN": "x"}
		},
		"PATH for a daemon": func(c *Config) { c.SensitiveArgs = map[string]string{"PATH": "x"} },
		"secrets":           func(c *Config) { c.Secrets = map[string]string{"a": "file", "b": "env:B"} },
	} {
		c := valid()
		change(&c)
		if err := (builder{}).Validate(t.Context(), c); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestConfigurationsThatAreNot(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		path   string
		want   string
	}{
		"an empty tag":          {func(c *Config) { c.Tag = "" }, "tag", "is not a tag"},
		"a key tag":             {func(c *Config) { c.Tag = "davit-" + strings.Repeat("a", 40) }, "tag", "reserved for davit"},
		"a repository's tag":    {func(c *Config) { c.Repository += ":1" }, "repository", "has a tag"},
		"no platform":           {func(c *Config) { c.Platforms = []string{"linux/arm64", "lunix/a/b/c/d"} }, "platforms[1]", "is not a platform"},
		"half a platform":       {func(c *Config) { c.Platforms = []string{"arm64"} }, "platforms[0]", "is not a platform"},
		"a platform twice":      {func(c *Config) { c.Platforms = []string{"linux/arm/v7", "linux/arm"} }, "platforms[1]", "listed twice"},
		"an empty trigger":      {func(c *Config) { c.Triggers = []string{"a", ""} }, "triggers[1]", "not a pattern"},
		"a broken trigger":      {func(c *Config) { c.Triggers = []string{"[a"} }, "triggers[0]", "not a pattern"},
		"a Dockerfile outside":  {func(c *Config) { c.Dockerfile = "../Dockerfile" }, "dockerfile", "inside"},
		"an absolute one":       {func(c *Config) { c.Dockerfile = "/etc/passwd" }, "dockerfile", "inside"},
		"both ways":             {func(c *Config) { c.BuildKit, c.Builder = "tcp://a:1", "b" }, "builder", "cannot be combined"},
		"a builder's option":    {func(c *Config) { c.Builder = "--debug" }, "builder", "not the name"},
		"no address":            {func(c *Config) { c.BuildKit = "buildkit:1234" }, "buildkit", "tcp://host:port"},
		"no port":               {func(c *Config) { c.BuildKit = "tcp://buildkit" }, "buildkit", "tcp://host:port"},
		"another scheme":        {func(c *Config) { c.BuildKit = "ssh://host" }, "buildkit", "unix:///"},
		"TLS over a socket":     {func(c *Config) { c.BuildKit, c.TLS = "unix:///x", &TLS{} }, "tls", "only for a daemon at tcp://"},
		"TLS for a builder":     {func(c *Config) { c.Builder, c.TLS = "b", &TLS{} }, "tls", "only for a daemon at tcp://"},
		"half a certificate":    {func(c *Config) { c.TLS = &TLS{Cert: "c"} }, "tls", "or neither"},
		"no cache":              {func(c *Config) { c.Cache = &Cache{Ref: "UPPER", Mode: "max"} }, "cache.ref", "not an image reference"},
		"a cache's mode":        {func(c *Config) { c.Cache = &Cache{Ref: "a/b", Mode: "all"} }, "cache.mode", `"min" or "max"`},
		"an argument's name":    {func(c *Config) { c.Args = map[string]string{"A=B": ""} }, "args", "not the name"},
		"an argument twice":     {func(c *Config) { c.Args, c.SensitiveArgs = map[string]string{"A": "1"}, map[string]string{"A": "2"} }, "sensitive_args", "also in args"},
		"docker's own setting":  {func(c *Config) { c.Builder, c.SensitiveArgs = "b", map[string]string{"DOCKER_HOST": "x"} }, "sensitive_args", "its own settings"},
		"docker's proxy":        {func(c *Config) { c.Builder, c.SensitiveArgs = "b", map[string]string{"https_proxy": "x"} }, "sensitive_args", "its own settings"},
		"davit's label":         {func(c *Config) { c.Labels = map[string]string{"sh.davit.build.key": "x"} }, "labels", "reserved for davit"},
		"a secret from nowhere": {func(c *Config) { c.Secrets = map[string]string{"a": "env:"} }, `secrets["a"]`, "env:NAME"},
		"no time":               {func(c *Config) { c.Timeout = 0 }, "timeout", "longer than 0s"},
	}
	for what, tt := range tests {
		c := valid()
		tt.change(&c)
		var all sdk.Errors
		if err := (builder{}).Validate(t.Context(), c); !errors.As(err, &all) || len(all) != 1 || all[0].Path.String() != tt.path || !strings.Contains(all[0].Error(), tt.want) {
			t.Errorf("%s: %v, want one at %s with %q", what, err, tt.path, tt.want)
		}
	}
}

func TestAllFindingsAreToldAtOnce(t *testing.T) {
	var all sdk.Errors
	err := builder{}.Validate(t.Context(), Config{BuildKit: "x", Builder: "y", Platforms: []string{"z"}})
	if !errors.As(err, &all) || len(all) < 5 {
		t.Errorf("%v", err)
	}
}
