// Package install gets plugins from registries and mirrors, and decides whether they may be used.
//
// A published plugin is an OCI index with a manifest for each platform, whose only layer is the executable itself: the
// digests of the index, of the manifests and of the executables hold each other, so what is locked, or signed, is all of
// them. What an origin hands out is believed only where those digests say so. Names in an artifact name no files.
//
// After `davit init` nothing is fetched any more: executables are in the cache by their digests, and pluginhost verifies
// them before each start.
package install

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-version"
)

// Requirement is what a stack requires of a plugin that is fetched.
type Requirement struct {
	Name       string
	Source     string // oci://REPOSITORY[:TAG][@DIGEST]
	Constraint string // of its version, as "~> 1.2"; empty: none
	Key        *Key   // that signs it; nil: it need not be signed
}

// Locked is what the lock file says of a plugin. One that is a path has SHA256, one that is fetched has Digest and Platforms.
type Locked struct {
	Name       string            `hcl:"name,label"`
	Source     string            `hcl:"source"`
	Version    string            `hcl:"version"`
	Constraint string            `hcl:"constraint,optional"`
	SHA256     string            `hcl:"sha256,optional"`     // of the executable, in hex
	Digest     string            `hcl:"digest,optional"`     // of the index, "sha256:<hex>"
	PublicKey  string            `hcl:"public_key,optional"` // fingerprint of the key that it was verified with
	Platforms  map[string]string `hcl:"platforms,optional"`  // "linux/amd64" to the executable's "sha256:<hex>"
}

// Description is what a plugin says of itself.
type Description struct {
	Name, Version string
	Types         []string // "application.telegram", sorted
}

// refusal is an error with what to do next.
type refusal struct {
	problem, hint string
	err           error
}

func (r *refusal) Error() string { return r.problem }
func (r *refusal) Unwrap() error { return r.err }

// HintText returns what to do next.
func (r *refusal) HintText() string { return r.hint }

func refuse(hint, format string, args ...any) error {
	return &refusal{problem: fmt.Sprintf(format, args...), hint: hint}
}

// Long repetitions take long to compile: not before they are asked for.
var (
	reDigest = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`) })
	rePlain  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`) })
)

// Check tells what is wrong with an entry that a person, or somebody else, has changed.
func (l Locked) Check() error {
	wrong := func(what, value string) error {
		return refuse("Take the file from your repository, or remove it and run davit init.", "the lock file's plugin %q has an invalid %s: %q", l.Name, what, value)
	}
	if l.SHA256 == "" && l.Digest == "" {
		return refuse("Remove the block and run davit init.", "the lock file's plugin %q has neither sha256 nor digest", l.Name)
	}
	if l.SHA256 != "" && !reDigest().MatchString("sha256:"+l.SHA256) {
		return wrong("sha256", l.SHA256)
	}
	if l.Digest != "" && !reDigest().MatchString(l.Digest) {
		return wrong("digest", l.Digest)
	}
	for p, sum := range l.Platforms {
		if _, err := ParsePlatform(p); err != nil {
			return wrong("platform", p)
		}
		if !reDigest().MatchString(sum) {
			return wrong("checksum of "+p, sum)
		}
	}
	return nil
}

// Fits tells whether an entry is still what the stack requires. The error says what to do.
func (l Locked) Fits(r Requirement) error {
	const hint = "Run davit init."
	switch {
	case l.Source != r.Source || l.Digest == "":
		return refuse(hint, "plugin %q is locked from %s, but required from %s", r.Name, l.Source, r.Source)
	case r.Key != nil && l.PublicKey != r.Key.Fingerprint:
		return refuse(hint, "plugin %q was not verified with the public key in the stack's settings", r.Name)
	case r.Constraint == l.Constraint || r.Constraint == "":
		return nil
	}
	ok, err := allows(r.Constraint, l.Version)
	if err == nil && !ok {
		err = refuse(hint, "plugin %q is locked at version %s, but the stack requires %s", r.Name, l.Version, r.Constraint)
	}
	return err
}

// Executable tells the file name and the SHA-256, in hex, of a locked plugin's executable for a platform.
func (l Locked) Executable(platform string) (name, sum string, err error) {
	src, err := ParseSource(l.Source)
	if err != nil {
		return "", "", err
	}
	p, err := choose(l.Name, l.Version, platform, slices.Collect(maps.Keys(l.Platforms)))
	if err != nil {
		return "", "", err
	}
	return fileName(src.Repository, p), strings.TrimPrefix(l.Platforms[p], "sha256:"), nil
}

// allows tells whether a constraint allows a version.
func allows(constraint, v string) (bool, error) {
	c, err := version.NewConstraint(constraint)
	if err != nil {
		return false, fmt.Errorf("version %q is not a version constraint: %w", constraint, err)
	}
	parsed, err := version.NewVersion(v)
	if err != nil {
		return false, fmt.Errorf("%q is not a version: %w", v, err)
	}
	return c.Check(parsed), nil
}

// sameVersion tells whether two versions are the same, however they are written: "v1.2.0" is "1.2.0".
func sameVersion(a, b string) bool {
	x, err := version.NewVersion(a)
	if err != nil {
		return a == b
	}
	y, err := version.NewVersion(b)
	return err == nil && x.Equal(y)
}

// below tells whether version a is lower than b. What is no version is not.
func below(a, b string) bool {
	x, err := version.NewVersion(a)
	if err != nil {
		return false
	}
	y, err := version.NewVersion(b)
	return err == nil && x.LessThan(y)
}
