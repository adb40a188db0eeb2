package install

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/hashicorp/go-version"

	"github.com/google/go-containerregistry/pkg/name"
)

// target is what a requirement means now.
type target struct {
	repo      name.Repository
	reference string  // a tag, or a digest
	version   string  // the tag, if it is a version
	tag       string  // that the source names
	pin       *Locked // what the lock file says and still counts
}

// reVersion is a tag that names one version for good. "1.2" and "latest" move.
var reVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// resolve chooses the version: what is locked, if that still is what the stack requires, else what the origin has.
func (i *Installer) resolve(ctx context.Context, r Requirement, was *Locked) (target, error) {
	src, err := ParseSource(r.Source)
	if err != nil {
		return target{}, err
	}
	t := target{repo: src.Repository, tag: src.Tag}
	if src.Tag+src.Digest != "" && r.Constraint != "" {
		return t, refuse("Keep one.", "it has a version, and a tag or digest in source as well")
	}
	if was != nil && !i.Upgrade && was.Digest != "" && was.Source == r.Source {
		fits := true
		if r.Constraint != "" {
			if fits, err = allows(r.Constraint, was.Version); err != nil {
				return t, err
			}
		}
		if fits {
			t.reference, t.version, t.pin = was.Digest, was.Version, was
			return t, nil
		}
	}
	switch {
	case src.Digest != "":
		t.reference = src.Digest
	case src.Tag != "":
		t.reference = src.Tag
	default:
		if t.reference, err = i.highest(ctx, src.Repository, r.Constraint); err != nil {
			return t, err
		}
	}
	for _, tag := range []string{src.Tag, t.reference} {
		if reVersion.MatchString(tag) {
			t.version = tag
		}
	}
	return t, nil
}

// highest is the tag with the highest version that a constraint allows. Versions before a release are
// only chosen by a constraint that names one.
func (i *Installer) highest(ctx context.Context, repo name.Repository, constraint string) (string, error) {
	var allowed version.Constraints
	if constraint != "" {
		var err error
		if allowed, err = version.NewConstraint(constraint); err != nil {
			return "", fmt.Errorf("version %q is not a version constraint: %w", constraint, err)
		}
	}
	tags, err := i.Origin.Tags(ctx, repo)
	if err != nil {
		return "", err
	}
	slices.Sort(tags)
	var best *version.Version
	versions := 0
	for _, tag := range tags {
		v, err := version.NewVersion(tag)
		if err != nil || !reVersion.MatchString(tag) {
			continue
		}
		versions++
		ok := allowed.Check(v)
		if constraint == "" {
			ok = v.Prerelease() == ""
		}
		if ok && (best == nil || v.GreaterThan(best)) {
			best = v
		}
	}
	if best != nil {
		return best.Original(), nil
	}
	if constraint == "" {
		constraint = "any release"
	}
	return "", refuse("Check its tags, and change version.", "none of the %d versions in %s satisfies %s", versions, repo, constraint)
}

// step refuses a way from what is locked to a release that nobody has asked for.
func (i *Installer) step(t target, was *Locked, version, digest string) error {
	if was == nil || t.pin != nil {
		return nil
	}
	const hint = "To accept the change, run davit init -upgrade."
	src, err := ParseSource(was.Source)
	same := err == nil && src.Repository == t.repo && was.Digest != ""
	switch {
	case below(version, was.Version) && !i.Upgrade:
		return refuse(hint, "it would go back from the locked version %s to %s", was.Version, version)
	case same && sameVersion(version, was.Version) && digest != was.Digest && !i.Upgrade:
		return refuse("Ask its authors why. "+hint, "version %s has changed: its digest is %s, but %s is locked. Its tag was moved", version, digest, was.Digest)
	case same && sameVersion(version, was.Version) && digest != was.Digest:
		i.tell("Version %s of plugin %s has changed: its tag was moved from %s to %s", version, was.Name, was.Digest, digest)
	}
	return nil
}
