package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/redact"
)

// repository is a repository that is read: one on this machine as it is, a remote through its mirror.
type repository struct {
	git        *gogit.Repository
	url        string
	countsFile string
	mirror     string // folder; empty for a repository on this machine
	remote     *gogit.Remote
	access     access
	lock       *os.File
}

func openRepository(ctx context.Context, c Config, host sdk.Host) (*repository, error) {
	endpoint, err := transport.NewEndpoint(c.URL)
	if err != nil {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%q is not the address of a repository", redact.URL(c.URL)), Path: sdk.At("url"), Code: "git.url"}
	}
	sum := sha256.Sum256([]byte(c.URL))
	key := hex.EncodeToString(sum[:16])
	r := &repository{url: redact.URL(c.URL), countsFile: filepath.Join(host.CacheDir, "git", "counts", key+".json")}
	if endpoint.Protocol == "file" {
		return r, r.openLocal(endpoint.Path, host)
	}
	if r.access, err = accessTo(c, endpoint, host.Credentials); err != nil {
		return nil, err
	}
	r.mirror = filepath.Join(host.CacheDir, "git", "mirrors", key)
	if err := r.lockMirror(ctx); err != nil {
		return nil, err
	}
	if err := r.openMirror(c.URL); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *repository) openLocal(path string, host sdk.Host) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(host.StackDir, path)
	}
	var err error
	r.git, err = gogit.PlainOpenWithOptions(path, &gogit.PlainOpenOptions{DetectDotGit: false, EnableDotGitCommonDir: true})
	if err != nil {
		return &sdk.Error{Summary: fmt.Sprintf("%s is not a Git repository", path), Path: sdk.At("url"), Code: "git.not_found", Err: err}
	}
	return nil
}

// lockMirror keeps other processes from the mirror while this one uses it.
func (r *repository) lockMirror(ctx context.Context) error {
	if err := os.MkdirAll(r.mirror, 0o700); err != nil {
		return fmt.Errorf("making the mirror of %s: %w", r.url, err)
	}
	f, err := os.OpenFile(r.mirror+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("locking the mirror of %s: %w", r.url, err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits an int
		if err == nil {
			r.lock = f
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for another process that uses the mirror of %s: %w", r.url, ctx.Err()), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *repository) openMirror(url string) error {
	git, err := gogit.PlainOpen(r.mirror)
	if err != nil {
		if err := os.RemoveAll(r.mirror); err != nil {
			return fmt.Errorf("making the mirror of %s: %w", r.url, err)
		}
		if git, err = gogit.PlainInit(r.mirror, true); err != nil {
			return fmt.Errorf("making the mirror of %s: %w", r.url, err)
		}
	}
	r.git = git
	// The remote is not written into the mirror: its URL comes from the configuration each time.
	r.remote = gogit.NewRemote(git.Storer, &config.RemoteConfig{Name: "origin", URLs: []string{url}})
	return nil
}

func (r *repository) close() {
	if r.lock != nil {
		_ = r.lock.Close() // ends the lock
	}
}

// damaged tells whether an error can come from a mirror that is not whole.
func (r *repository) damaged(err error) bool {
	if r.mirror == "" {
		return false
	}
	var shown *sdk.Error
	var many sdk.Errors
	return !errors.As(err, &shown) && !errors.As(err, &many) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// reset empties the mirror.
func (r *repository) reset() error {
	url := r.remote.Config().URLs[0]
	if err := os.RemoveAll(r.mirror); err != nil {
		return err
	}
	return r.openMirror(url)
}

// refs lists the remote's references by their full names; tags are peeled to their commits.
func (r *repository) refs(ctx context.Context) (map[string]plumbing.Hash, string, error) {
	if r.remote == nil {
		return r.localRefs()
	}
	list, err := ask(ctx, r, func() ([]*plumbing.Reference, error) {
		return r.remote.ListContext(ctx, &gogit.ListOptions{Auth: r.access.auth, CABundle: r.access.ca, PeelingOption: gogit.AppendPeeled})
	})
	if err != nil {
		return nil, "", r.diagnose(err, "reading")
	}
	refs := map[string]plumbing.Hash{}
	head := ""
	for _, ref := range list {
		switch {
		case ref.Type() == plumbing.SymbolicReference && ref.Name() == plumbing.HEAD:
			head = ref.Target().String()
		case ref.Type() == plumbing.HashReference:
			name, peeled := strings.CutSuffix(ref.Name().String(), "^{}")
			if _, there := refs[name]; peeled || !there {
				refs[name] = ref.Hash()
			}
		}
	}
	return refs, head, nil
}

func (r *repository) localRefs() (map[string]plumbing.Hash, string, error) {
	refs := map[string]plumbing.Hash{}
	head := ""
	if h, err := r.git.Reference(plumbing.HEAD, false); err == nil {
		if h.Type() == plumbing.SymbolicReference {
			head = h.Target().String()
		} else {
			refs[plumbing.HEAD.String()] = h.Hash()
			head = plumbing.HEAD.String()
		}
	}
	it, err := r.git.References()
	if err != nil {
		return nil, "", err
	}
	err = it.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		hash := ref.Hash()
		if tag, err := r.git.TagObject(hash); err == nil {
			if c, err := tag.Commit(); err == nil {
				hash = c.Hash
			}
		}
		refs[ref.Name().String()] = hash
		return nil
	})
	return refs, head, err
}

// fetch brings all branches and tags into the mirror, and a commit that may be on none of them.
func (r *repository) fetch(ctx context.Context, extra plumbing.Hash) error {
	specs := []config.RefSpec{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}
	fetch := func(specs []config.RefSpec) error {
		_, err := ask(ctx, r, func() (struct{}, error) {
			err := r.remote.FetchContext(ctx, &gogit.FetchOptions{RefSpecs: specs, Auth: r.access.auth, CABundle: r.access.ca, Tags: gogit.NoTags, Force: true, Prune: true})
			if errors.Is(err, gogit.NoErrAlreadyUpToDate) {
				err = nil
			}
			return struct{}{}, err
		})
		return err
	}
	if err := fetch(specs); err != nil {
		return r.diagnose(err, "fetching")
	}
	if r.has(extra) {
		return nil
	}
	// The mirror may have the names and lack what is behind them, if it was damaged: begin it anew.
	if err := r.reset(); err != nil {
		return err
	}
	if err := fetch(specs); err != nil {
		return r.diagnose(err, "fetching")
	}
	if r.has(extra) {
		return nil
	}
	spec := config.RefSpec(fmt.Sprintf("%s:refs/davit/%s", extra, extra))
	if err := fetch([]config.RefSpec{spec}); err != nil {
		return &sdk.Error{Summary: fmt.Sprintf("commit %s is not in %s", extra, r.url), Code: "git.no_commit", Detail: redact.Text(err.Error()),
			Hint: "It may have been removed by a forced push. Plan again."}
	}
	return nil
}

func (r *repository) has(commit plumbing.Hash) bool {
	_, err := r.git.CommitObject(commit)
	return err == nil
}

// ask talks to the remote: it tries again what may pass, and once more with the credentials that are looked for when the host wants some.
func ask[T any](ctx context.Context, r *repository, f func() (T, error)) (T, error) {
	v, err := retry(ctx, f)
	if err != nil && r.access.more(ctx, err) {
		v, err = retry(ctx, f)
	}
	return v, err
}

// tries is how often something that may pass is tried.
const tries = 4

// retry tries again what may pass: broken connections and servers that are overloaded.
func retry[T any](ctx context.Context, f func() (T, error)) (T, error) {
	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval = 200 * time.Millisecond
	return backoff.Retry(ctx, func() (T, error) {
		v, err := f()
		if err != nil && !passing(err) {
			err = backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(policy), backoff.WithMaxTries(tries))
}
