package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Installer gets plugins and decides whether they may be used.
type Installer struct {
	Origin   Origin
	Cache    Cache
	Platform string // of this machine: Platform()
	Upgrade  bool   // take what there is now, whatever is locked
	// Describe starts an executable, whose SHA-256 is known, and asks what it is.
	Describe func(ctx context.Context, name, path, sum string) (Description, error)
	Tell     func(string) // hears what is being done; nil: nobody does
}

func (i *Installer) tell(format string, args ...any) {
	if i.Tell != nil {
		i.Tell(fmt.Sprintf(format, args...))
	}
}

// Install gets what a stack requires into the cache, and returns what to write into the lock file. was is what is
// locked, nil if nothing is. The order counts: nothing is fetched that is refused, and nothing is started that was not
// verified.
func (i *Installer) Install(ctx context.Context, r Requirement, was *Locked) (Locked, error) {
	l, err := i.install(ctx, r, was)
	if err != nil {
		return l, fmt.Errorf("plugin %q: %w", r.Name, err)
	}
	return l, nil
}

func (i *Installer) install(ctx context.Context, r Requirement, was *Locked) (Locked, error) {
	t, err := i.resolve(ctx, r, was)
	if err != nil {
		return Locked{}, err
	}
	if t.pin != nil && i.installed(r, *t.pin) {
		l := *t.pin
		return i.start(ctx, r, t, l, Description{Version: l.Version})
	}
	release, from, err := i.find(ctx, r, t, was)
	if err != nil {
		return Locked{}, err
	}
	platform, err := choose(r.Name, release.Claims.Version, i.Platform, release.platforms())
	if err != nil {
		return Locked{}, err
	}
	if err := i.readManifests(ctx, release, from, t.pin); err != nil {
		return Locked{}, err
	}
	if err := i.fetch(ctx, r, t, release, from, platform); err != nil {
		return Locked{}, err
	}
	l := Locked{Version: release.Claims.Version, Digest: release.Digest, Platforms: release.sums()}
	return i.start(ctx, r, t, l, release.Claims)
}

// installed tells whether all that is locked is here already, so that nobody needs to be asked.
func (i *Installer) installed(r Requirement, l Locked) bool {
	name, sum, err := l.Executable(i.Platform)
	if err != nil || !i.Cache.has(sum, name) {
		return false
	}
	if r.Key == nil {
		return true
	}
	all, err := i.Cache.signatures(l.Digest)
	return err == nil && r.Key.Verify(l.Digest, all) == nil
}

// find opens the release that a requirement means, and decides whether it may be used: its version, and its signature.
func (i *Installer) find(ctx context.Context, r Requirement, t target, was *Locked) (*Release, Copy, error) {
	from, err := i.Origin.Open(ctx, t.repo, t.reference)
	if err != nil {
		return nil, nil, i.gone(ctx, t, err)
	}
	digest := digestOf(from.Index())
	if reDigest().MatchString(t.reference) && digest != t.reference {
		return nil, nil, tampered("its index", digest, t.reference)
	}
	// What the index claims is compared before its signature, as a version that is too low is refused with any.
	release, err := readIndex(from.Index())
	if err != nil {
		return nil, nil, err
	}
	if err := settleVersion(release, t); err != nil {
		return nil, nil, err
	}
	if err := i.step(t, was, release.Claims.Version, digest); err != nil {
		return nil, nil, err
	}
	if r.Key != nil {
		all, err := from.Signatures(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("its signatures: %w", err)
		}
		if err := r.Key.Verify(digest, all); err != nil {
			return nil, nil, err
		}
		if err := i.Cache.keepSignatures(digest, all); err != nil {
			return nil, nil, err
		}
	}
	return release, from, nil
}

// settleVersion makes one of what the tag says and what the index says.
func settleVersion(r *Release, t target) error {
	claimed := r.Claims.Version
	switch {
	case t.version == "" && claimed == "":
		return refuse("Name a tag that is a version, such as 1.2.0.", "the version of %s is not known: neither its tag nor its index names one", r.Digest)
	case t.version != "" && claimed != "" && !sameVersion(t.version, claimed):
		return refuse("Ask its authors to push it under its own version.", "its tag is %s, but its index has version %s", t.version, claimed)
	case t.version != "":
		r.Claims.Version = t.version
	}
	return nil
}

// gone says more of a release that was locked and is not there any more.
func (i *Installer) gone(ctx context.Context, t target, err error) error {
	if t.pin == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	now := "which has no version " + t.version
	if c, err := i.Origin.Open(ctx, t.repo, t.version); err == nil {
		now = fmt.Sprintf("and version %s is now %s: its tag was moved", t.version, digestOf(c.Index()))
	}
	return refuse("Ask its authors why. To accept another one, run davit init -upgrade.",
		"the locked release %s is no longer in %s, %s", t.reference, t.repo, now)
}

// readManifests learns the checksums of all platforms' executables. They must be those that are locked.
func (i *Installer) readManifests(ctx context.Context, r *Release, from Copy, pin *Locked) error {
	if err := r.readManifests(ctx, from); err != nil {
		return err
	}
	if pin == nil {
		return nil
	}
	for p, sum := range pin.Platforms {
		if got := r.Platforms[p].Digest; got != sum {
			return refuse("The lock file was not changed by davit init. Restore it from your repository, or run davit init -upgrade.",
				"the lock file has %[2]s for its executable for %[1]s, but %[3]s has %[4]q", p, sum, r.Digest, got)
		}
	}
	return nil
}

// fetch sees to it that an executable is in the cache.
func (i *Installer) fetch(ctx context.Context, r Requirement, t target, release *Release, from Copy, platform string) error {
	e := release.Platforms[platform]
	file, sum := fileName(t.repo, platform), strings.TrimPrefix(e.Digest, "sha256:")
	if i.Cache.has(sum, file) {
		return nil
	}
	i.tell("Fetching plugin %s %s for %s", r.Name, release.Claims.Version, platform)
	body, err := from.Executable(ctx, platform, e.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := i.Cache.put(ctx, e, file, body); err != nil {
		return fmt.Errorf("fetching its executable for %s: %w", platform, err)
	}
	return nil
}

// start asks a verified executable what it is, which must be what was claimed.
func (i *Installer) start(ctx context.Context, r Requirement, t target, l Locked, claimed Description) (Locked, error) {
	l.Name, l.Source, l.Constraint = r.Name, r.Source, r.Constraint
	if l.PublicKey = ""; r.Key != nil {
		l.PublicKey = r.Key.Fingerprint
	}
	file, sum, err := l.Executable(i.Platform)
	if err != nil {
		return l, err
	}
	d, err := i.Describe(ctx, r.Name, i.Cache.Path(sum, file), sum)
	if err != nil {
		return l, err
	}
	const hint = "It was not pushed by davit plugin push, or with -force. Ask its authors."
	switch {
	case !sameVersion(d.Version, claimed.Version):
		return l, refuse(hint, "it reports the version %q, but was published as %s", d.Version, claimed.Version)
	case claimed.Name != "" && d.Name != claimed.Name:
		return l, refuse(hint, "it reports the name %q, but was published as %s", d.Name, claimed.Name)
	case len(claimed.Types) > 0 && !slices.Equal(d.Types, claimed.Types):
		return l, refuse(hint, "it reports the types %q, but was published with %q", d.Types, claimed.Types)
	}
	if t.version == "" {
		l.Version = d.Version
	}
	return l, nil
}
