// Package git is the built-in plugin for Git: source "git".
//
// It reads remotes through bare mirrors in the cache, which are fetched only when the
// remote has moved, and hands over trees from the content-addressed cache.
package git

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/redact"
)

// Config is the configuration of source "git".
type Config struct {
	URL        string       `davit:"url" doc:"The repository: https://..., ssh://..., git@host:path, or a path on this machine."`
	Branch     string       `davit:"branch,optional" doc:"Follow this branch. Without branch, tag, semver, commit and ref: the remote's default branch."`
	Tag        string       `davit:"tag,optional" doc:"Use this tag."`
	Semver     string       `davit:"semver,optional" doc:"Use the highest tag in this range, such as \"~1.4\"."`
	Commit     string       `davit:"commit,optional" doc:"Use this commit, by its full id."`
	Ref        string       `davit:"ref,optional" doc:"Use this tag, branch or full commit id: the first that exists, in this order."`
	Path       string       `davit:"path,optional" doc:"Use only this folder: tree, commit_count and commits are those of the folder."`
	Paths      []string     `davit:"paths,optional" doc:"Folders for the outputs trees and commit_counts."`
	Submodules string       `davit:"submodules,optional" doc:"\"ignore\" leaves submodules out; without it a repository with submodules is an error."`
	Username   string       `davit:"username,optional" doc:"User name for HTTP. Most hosts accept any name with a token."`
	Token      string       `davit:"token,optional,sensitive" doc:"Token for HTTP. Without it: the stack's credentials for the host; then DAVIT_GIT_TOKEN of the environment if DAVIT_GIT_HOST names the host, or if the stack has no other Git host; then .netrc; then the credential helpers of the user's Git configuration. It is never sent over plain HTTP to another machine."`
	SSHKey     string       `davit:"ssh_key,optional" doc:"File with the private key for SSH. Without it: the SSH agent, then ~/.ssh/id_ed25519 and id_rsa."`
	KnownHosts string       `davit:"known_hosts,optional" doc:"File with the host keys to trust for SSH. Without it: ~/.ssh/known_hosts."`
	CAFile     string       `davit:"ca_file,optional" doc:"File with certificates to trust besides the system's. Without it: the environment variable GIT_SSL_CAINFO."`
	Timeout    sdk.Duration `davit:"timeout,optional" default:"2m" doc:"Time limit for finding and fetching the revision."`
}

// Outputs are the outputs of source "git".
type Outputs struct {
	sdk.SourceOutputs
	Commit       string              `davit:"commit" doc:"Full id of the commit."`
	ShortCommit  string              `davit:"short_commit" doc:"The first seven digits of the commit's id."`
	CommitCount  int                 `davit:"commit_count" doc:"Number of commits up to this one; with path, of those that changed the folder."`
	Message      string              `davit:"message" doc:"The commit's message."`
	Subject      string              `davit:"subject" doc:"The first line of the message."`
	Author       string              `davit:"author" doc:"The commit's author, as Name <mail>."`
	Branch       string              `davit:"branch" doc:"The followed branch; empty for a tag or a commit."`
	Tags         []string            `davit:"tags" doc:"Tags that point at the commit."`
	Trees        map[string]sdk.Tree `davit:"trees" doc:"Trees of the folders in paths."`
	CommitCounts map[string]int      `davit:"commit_counts" doc:"Number of commits that changed each folder in paths."`
}

// Plugin returns the plugin.
func Plugin(version string) *sdk.Plugin {
	return sdk.New("git", version, sdk.Source("git", &source{},
		sdk.Description("A Git repository at a branch, a tag, the highest tag of a range, or a commit.")))
}

type source struct {
	hub poll.Hub[references]
}

// Validate implements sdk.Validator.
func (s *source) Validate(_ context.Context, c Config) error {
	var errs sdk.Errors
	add := func(attr, format string, args ...any) { errs = append(errs, sdk.Errorf(sdk.At(attr), format, args...)) }
	set := 0
	for _, v := range []string{c.Branch, c.Tag, c.Semver, c.Commit, c.Ref} {
		if v != "" {
			set++
		}
	}
	if set > 1 {
		add("url", "branch, tag, semver, commit and ref cannot be combined: set one of them")
	}
	if c.Semver != "" {
		if _, err := semver.NewConstraint(c.Semver); err != nil {
			add("semver", "%q is not a version range: %s", c.Semver, err)
		}
	}
	if c.Commit != "" && !plumbing.IsHash(c.Commit) {
		add("commit", "%q is not the full id of a commit (40 hexadecimal digits)", c.Commit)
	}
	if c.Submodules != "" && c.Submodules != "ignore" {
		add("submodules", "submodules must be \"ignore\", not %q", c.Submodules)
	}
	if what := redact.SecretIn(c.URL); what != "" {
		add("url", "the URL contains %s: use username and token instead", what)
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

type request = sdk.ObserveRequest[Config, Outputs]

// Observe reads the commit that the configuration names, and its files.
func (s *source) Observe(ctx context.Context, r request) (Outputs, error) {
	c := r.Config
	if err := s.Validate(ctx, c); err != nil {
		return Outputs{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Duration())
	defer cancel()
	o, err := s.observe(ctx, r)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return o, &sdk.Error{Summary: fmt.Sprintf("%s did not answer within %s", redact.URL(c.URL), c.Timeout.Duration()), Code: "git.timeout",
			Hint: "Check that the host is reachable, or raise timeout.", Err: err}
	}
	return o, err
}

func (s *source) observe(ctx context.Context, r request) (Outputs, error) {
	host := sdk.HostOf(ctx)
	repo, err := openRepository(ctx, r.Config, host)
	if err != nil {
		return Outputs{}, err
	}
	defer repo.close()
	for try := 0; ; try++ {
		o, err := s.read(ctx, r, repo, host)
		if err == nil || try > 0 || !repo.damaged(err) {
			return o, err
		}
		// A mirror that was cut off while it was fetched: begin it anew.
		if err := repo.reset(); err != nil {
			return Outputs{}, err
		}
	}
}

func (s *source) read(ctx context.Context, r request, repo *repository, host sdk.Host) (o Outputs, err error) {
	c := r.Config
	at, err := repo.resolve(ctx, c, r.Pinned)
	if err != nil {
		return Outputs{}, err
	}
	if r.Pinned == nil {
		defer func() {
			if err == nil {
				s.hub.Note(poll.ID(ctx, r.Address), at.describe())
			}
		}()
	}
	commit, err := repo.git.CommitObject(at.commit)
	if err != nil {
		return Outputs{}, err
	}
	h := &history{ctx: ctx, repo: repo, cache: repo.countsFile}
	if c.Path != "" {
		// The newest commit that touched the folder: others do not change this source.
		if commit, err = h.lastTouching(commit, clean(c.Path)); err != nil {
			return Outputs{}, err
		}
	}
	o = Outputs{
		Commit: commit.Hash.String(), ShortCommit: commit.Hash.String()[:7], Message: commit.Message, Subject: subject(commit),
		Author: fmt.Sprintf("%s <%s>", commit.Author.Name, commit.Author.Email), Branch: at.branch, Tags: at.tags,
		Trees: map[string]sdk.Tree{}, CommitCounts: map[string]int{},
	}
	o.Revision, o.Time = o.Commit, commit.Committer.When.UTC().Format(time.RFC3339)
	w := &trees{ctx: ctx, repo: repo, cacheDir: host.CacheDir, ignoreSubmodules: c.Submodules == "ignore"}
	if o.Tree, err = w.tree(commit, clean(c.Path)); err != nil {
		return o, err
	}
	if o.CommitCount, err = h.count(commit, clean(c.Path)); err != nil {
		return o, err
	}
	for _, p := range c.Paths {
		if o.Trees[p], err = w.tree(commit, clean(p)); err != nil {
			return o, err
		}
		if o.CommitCounts[p], err = h.count(commit, clean(p)); err != nil {
			return o, err
		}
	}
	return o, addCommits(ctx, r, h, commit)
}

// clean is a path as Git has it; the whole repository is the empty one.
func clean(p string) string {
	p = strings.Trim(filepath.ToSlash(filepath.Clean(p)), "/")
	if p == "." {
		return ""
	}
	return p
}

func subject(c *object.Commit) string {
	s, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return s
}

// mostCommits is how many commits since the last apply are listed one by one.
const mostCommits = 50

// addCommits adds the commits after the one of the last apply to the plan.
func addCommits(ctx context.Context, r request, h *history, commit *object.Commit) error {
	prior := r.Prior
	if prior == nil || prior.Commit == "" || prior.Commit == commit.Hash.String() || r.Pinned != nil {
		return nil
	}
	commits, err := h.since(commit, plumbing.NewHash(prior.Commit), clean(r.Config.Path))
	if err != nil {
		return err
	}
	for i, c := range commits {
		id := c.Hash.String()
		if i == mostCommits {
			sdk.AddItem(ctx, sdk.Item{Key: "more", Kind: "commit", Name: "...", Note: fmt.Sprintf("and %d more", len(commits)-i)})
			break
		}
		sdk.AddItem(ctx, sdk.Item{Key: id, Kind: "commit", Name: id[:7], Note: subject(c)})
	}
	return nil
}
