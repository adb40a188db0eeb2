package git

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/agext/levenshtein"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/davit-sh/davit/sdk"
)

// position is what a configuration means in a repository at this moment.
type position struct {
	commit plumbing.Hash
	branch string
	tags   []string
}

const (
	heads = "refs/heads/"
	tags  = "refs/tags/"
)

// resolve finds the commit, and sees to it that the repository has it.
func (r *repository) resolve(ctx context.Context, c Config, pinned *Outputs) (*position, error) {
	if pinned != nil {
		at := &position{commit: plumbing.NewHash(pinned.Commit), branch: pinned.Branch, tags: pinned.Tags}
		return at, r.ensure(ctx, at.commit)
	}
	refs, head, err := r.refs(ctx)
	if err != nil {
		return nil, err
	}
	at, err := locate(c, refs, head, r.url)
	if err != nil {
		return nil, err
	}
	return at, r.ensure(ctx, at.commit)
}

func (r *repository) ensure(ctx context.Context, commit plumbing.Hash) error {
	if r.has(commit) {
		return nil
	}
	if r.remote == nil {
		return &sdk.Error{Summary: fmt.Sprintf("commit %s is not in %s", commit, r.url), Code: "git.no_commit"}
	}
	return r.fetch(ctx, commit)
}

// choose picks the commit that the configuration names.
func choose(c Config, refs map[string]plumbing.Hash, head, url string) (*position, error) {
	if len(refs) == 0 {
		return nil, &sdk.Error{Summary: url + " is empty", Code: "git.empty", Hint: "Push a first commit."}
	}
	switch {
	case c.Commit != "":
		return &position{commit: plumbing.NewHash(c.Commit)}, nil
	case c.Tag != "":
		if hash, ok := refs[tags+c.Tag]; ok {
			return &position{commit: hash}, nil
		}
		return nil, missing("tag", c.Tag, names(refs, tags), url)
	case c.Semver != "":
		return highest(c.Semver, refs, url)
	case c.Ref != "":
		return anything(c.Ref, refs, url)
	}
	name := head
	if c.Branch != "" {
		name = heads + c.Branch
	}
	hash, ok := refs[name]
	if !ok {
		if c.Branch == "" {
			return nil, &sdk.Error{Summary: url + " has no default branch", Code: "git.no_branch", Hint: "Set branch to one of: " + list(names(refs, heads)) + "."}
		}
		return nil, missing("branch", c.Branch, names(refs, heads), url)
	}
	branch, _ := strings.CutPrefix(name, heads)
	return &position{commit: hash, branch: branch}, nil
}

// anything takes a name for a tag, a branch or a commit, in this order.
func anything(ref string, refs map[string]plumbing.Hash, url string) (*position, error) {
	if hash, ok := refs[tags+ref]; ok {
		return &position{commit: hash}, nil
	}
	if hash, ok := refs[heads+ref]; ok {
		return &position{commit: hash, branch: ref}, nil
	}
	if plumbing.IsHash(ref) {
		return &position{commit: plumbing.NewHash(ref)}, nil
	}
	return nil, missing("ref", ref, append(names(refs, tags), names(refs, heads)...), url)
}

func highest(want string, refs map[string]plumbing.Hash, url string) (*position, error) {
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return nil, sdk.Errorf(sdk.At("semver"), "%q is not a version range: %s", want, err)
	}
	var best *semver.Version
	at := &position{}
	for name, hash := range refs {
		tag, ok := strings.CutPrefix(name, tags)
		v, err := semver.NewVersion(tag)
		if !ok || err != nil || !constraint.Check(v) {
			continue
		}
		if best == nil || v.GreaterThan(best) || (v.Equal(best) && v.Original() < best.Original()) {
			best, at.commit = v, hash
		}
	}
	if best == nil {
		return nil, &sdk.Error{Summary: fmt.Sprintf("no tag of %s is in the range %s", url, want), Path: sdk.At("semver"), Code: "git.no_tag",
			Hint: "The tags are: " + list(names(refs, tags)) + "."}
	}
	return at, nil
}

func names(refs map[string]plumbing.Hash, prefix string) []string {
	var out []string
	for name := range refs {
		if n, ok := strings.CutPrefix(name, prefix); ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// list names some of many.
func list(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[len(names)-most:], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func missing(what, name string, there []string, url string) error {
	hint := "It has: " + list(there) + "."
	best := 4
	for _, n := range there {
		if d := levenshtein.Distance(name, n, nil); d < best {
			best, hint = d, fmt.Sprintf("Did you mean %q?", n)
		}
	}
	return &sdk.Error{Summary: fmt.Sprintf("%s has no %s %q", url, what, name), Path: sdk.At(what), Code: "git.no_" + what, Hint: hint}
}
