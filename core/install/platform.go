package install

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
)

var rePlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/v[0-9]+)?$`)

// ParsePlatform reads "os/architecture[/variant]" and writes it in its usual form: "linux/arm" is "linux/arm/v7".
func ParsePlatform(s string) (string, error) {
	if !rePlatform.MatchString(s) {
		return "", fmt.Errorf("%q is not a platform such as linux/amd64 or linux/arm/v7", s)
	}
	p, err := platforms.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a platform such as linux/amd64 or linux/arm/v7", s)
	}
	return platforms.Format(platforms.Normalize(p)), nil
}

// Platform is the platform of this machine.
func Platform() string { return platforms.Format(platforms.DefaultSpec()) }

// choose picks the platform whose executable runs on a machine best: the same architecture, and the highest variant that
// the machine has.
func choose(plugin, version, machine string, have []string) (string, error) {
	m, err := platforms.Parse(machine)
	if err != nil {
		return "", fmt.Errorf("%q is not a platform: %w", machine, err)
	}
	fits := platforms.Only(m)
	var best string
	slices.Sort(have)
	for _, h := range have {
		p, err := platforms.Parse(h)
		if err != nil || !fits.Match(p) || p.Architecture != m.Architecture {
			continue
		}
		if best == "" || fits.Less(p, platforms.MustParse(best)) {
			best = h
		}
	}
	if best == "" {
		return "", refuse("Ask its authors for one, or build it and use its path as source.",
			"plugin %q %s has no executable for %s, only for %s", plugin, version, machine, strings.Join(have, ", "))
	}
	return best, nil
}
