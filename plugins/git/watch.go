package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/redact"
)

// localInterval is the longest time between two looks at a repository on this machine.
const localInterval = 5 * time.Second

// references are what a repository has at a moment.
type references struct {
	names map[string]plumbing.Hash
	head  string
}

var _ sdk.Watcher[Config, Outputs] = (*source)(nil)

// Watch lists the remote's references from time to time, once for all sources of a repository with the same credentials. It tells when the
// reference that the configuration follows, or the tags of its commit, are others.
func (s *source) Watch(ctx context.Context, r sdk.WatchRequest[Config, Outputs], notice func(sdk.Notice)) error {
	c := r.Config
	host := sdk.HostOf(ctx)
	endpoint, err := transport.NewEndpoint(c.URL)
	if err != nil {
		return &sdk.Error{Summary: fmt.Sprintf("%q is not the address of a repository", redact.URL(c.URL)), Path: sdk.At("url"), Code: "git.url"}
	}
	w := poll.Watch[references]{
		ID: poll.ID(ctx, r.Address), Interval: r.Interval,
		Look: func(ctx context.Context, _ references) (references, error) { return lookAt(ctx, c, host) },
		Part: func(v references) (string, error) {
			at, err := locate(c, v.names, v.head, redact.URL(c.URL))
			if err != nil {
				return "", err
			}
			return at.describe(), nil
		},
	}
	key := []string{c.URL, c.Username, c.Token, c.SSHKey, c.KnownHosts, c.CAFile}
	if endpoint.Protocol == "file" {
		w.Interval = min(r.Interval, localInterval)
		if !filepath.IsAbs(endpoint.Path) {
			key = append(key, host.StackDir)
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(key, "\x00")))
	w.Key = hex.EncodeToString(sum[:])
	if r.Prior != nil && clean(c.Path) == "" { // with a path, the commit in the outputs is an older one
		o := r.Prior.Outputs
		w.Prior = (&position{commit: plumbing.NewHash(o.Commit), branch: o.Branch, tags: o.Tags}).describe()
	}
	return s.hub.Run(ctx, w, func(part string) {
		notice(sdk.Notice{Reason: fmt.Sprintf("%s is at %s", redact.URL(c.URL), part)})
	})
}

// describe returns the position in words: "4b825dc of branch main, tags v1.0.0".
func (p *position) describe() string {
	text := p.commit.String()
	if p.branch != "" {
		text += " of branch " + p.branch
	}
	if len(p.tags) > 0 {
		text += ", tags " + strings.Join(p.tags, " ")
	}
	return text
}

// locate finds the position that a configuration means among references.
func locate(c Config, refs map[string]plumbing.Hash, head, url string) (*position, error) {
	at, err := choose(c, refs, head, url)
	if err != nil {
		return nil, err
	}
	for name, hash := range refs {
		if tag, ok := strings.CutPrefix(name, tags); ok && hash == at.commit {
			at.tags = append(at.tags, tag)
		}
	}
	slices.Sort(at.tags)
	return at, nil
}

// lookAt lists the references of a repository. It needs no mirror.
func lookAt(ctx context.Context, c Config, host sdk.Host) (references, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Duration())
	defer cancel()
	endpoint, err := transport.NewEndpoint(c.URL)
	if err != nil {
		return references{}, err
	}
	r := &repository{url: redact.URL(c.URL)}
	if endpoint.Protocol == "file" {
		err = r.openLocal(endpoint.Path, host)
	} else if r.access, err = accessTo(c, endpoint, host.Credentials); err == nil {
		r.remote = gogit.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{c.URL}})
	}
	if err != nil {
		return references{}, err
	}
	names, head, err := r.refs(ctx)
	return references{names, head}, err
}
