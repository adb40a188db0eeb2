package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
)

// listing is what a repository has at a moment.
type listing struct {
	list    *oci.TagList
	tags    string            // digest of the list
	digests map[string]string // of the tags in use
}

// uses is what an image has been asked for last: its tags that policies have chosen, and their digests. Those are looked at as well, since a
// tag may move.
type uses struct {
	repository string // and whether it is insecure
	tags       string // digest of the list that they were chosen from
	digests    map[string]string
	watches    int
}

// tracker keeps the uses of images, by instance.
type tracker struct {
	mu   sync.Mutex
	byID map[string]*uses
}

// listed notes the list of an image. Another list is another choice.
func (t *tracker) listed(id, repository, tags string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[string]*uses{}
	}
	u := t.byID[id]
	if u == nil || u.tags != tags || u.repository != repository {
		watches := 0
		if u != nil {
			watches = u.watches
		}
		u = &uses{repository: repository, tags: tags, digests: map[string]string{}, watches: watches}
		t.byID[id] = u
	}
	return u.part(tags, nil)
}

// watched counts the watches of an image. What nobody watches any more is forgotten.
func (t *tracker) watched(id, repository string, more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[string]*uses{}
	}
	u := t.byID[id]
	if u == nil {
		u = &uses{repository: repository, digests: map[string]string{}}
		t.byID[id] = u
	}
	if u.watches += more; u.watches == 0 {
		delete(t.byID, id)
	}
}

// resolved notes that a tag of an image is in use. ok is false when the image was never listed.
func (t *tracker) resolved(id, tag, digest string) (part string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.byID[id]
	if u == nil {
		return "", false
	}
	u.digests[tag] = digest
	return u.part(u.tags, nil), true
}

// part is what an image makes of a listing.
func (t *tracker) part(id string, l listing) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.byID[id]; u != nil {
		return u.part(l.tags, l.digests)
	}
	return l.tags
}

// part describes a list with the tags in use. A digest that is not given is as it was.
func (u *uses) part(tags string, digests map[string]string) string {
	lines := []string{tags}
	for _, tag := range slices.Sorted(maps.Keys(u.digests)) {
		digest, looked := digests[tag]
		if !looked {
			digest = u.digests[tag]
		}
		lines = append(lines, tag+"@"+digest)
	}
	return strings.Join(lines, "\n")
}

// used are the tags of a repository that are in use.
func (t *tracker) used(repository string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := map[string]bool{}
	for _, u := range t.byID {
		if u.repository == repository {
			for tag := range u.digests {
				found[tag] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// digestOf is the digest of a sorted list of tags.
func digestOf(tags []string) string {
	sum := sha256.Sum256([]byte(strings.Join(tags, "\n")))
	return hex.EncodeToString(sum[:8])
}

func (c imageConfig) key() string { return fmt.Sprint(c.Repository, " ", c.Insecure) }

var _ sdk.Watcher[imageConfig, imageOutputs] = (*image)(nil)

// Watch lists the repository's tags from time to time, once for all images of it, and asks for the digests of the tags that policies have
// chosen. It tells when one of them is another.
func (i *image) Watch(ctx context.Context, r sdk.WatchRequest[imageConfig, imageOutputs], notice func(sdk.Notice)) error {
	c := r.Config
	if err := i.Validate(ctx, c); err != nil {
		return err
	}
	id := poll.ID(ctx, r.Address)
	w := poll.Watch[listing]{
		ID: id, Key: c.key(), Interval: r.Interval,
		Look: func(ctx context.Context, last listing) (listing, error) { return i.look(ctx, c, last) },
		Part: func(l listing) (string, error) { return i.tracker.part(id, l), nil },
	}
	if r.Prior != nil && len(c.Exclude) == 0 { // state has none of the excluded tags
		w.Prior = digestOf(slices.Sorted(slices.Values(r.Prior.Outputs.Tags)))
	}
	i.tracker.watched(id, c.key(), 1)
	defer i.tracker.watched(id, c.key(), -1)
	return i.hub.Run(ctx, w, func(string) {
		notice(sdk.Notice{Reason: c.Repository + " has other tags, or one of those in use was moved"})
	})
}

// look lists the tags, and asks for the digests of those in use.
func (i *image) look(ctx context.Context, c imageConfig, last listing) (listing, error) {
	repo, err := oci.Repository(c.Repository, c.Insecure)
	if err != nil {
		return listing{}, at(err, "repository")
	}
	now := listing{list: last.list, digests: map[string]string{}}
	if now.list == nil {
		now.list = oci.NewTagList(repo)
	}
	tags, err := now.list.Read(ctx)
	if err != nil && !oci.IsNotFound(err) {
		return listing{}, err
	}
	now.tags = digestOf(visible(tags))
	for _, tag := range i.tracker.used(c.key()) {
		if now.digests[tag], err = oci.TagDigest(ctx, repo, tag); err != nil {
			return listing{}, err
		}
	}
	return now, nil
}

// visible are the tags that an image shows: all but davit's own, and those of signatures and the like.
func visible(tags []string) []string {
	shown := make([]string, 0, len(tags))
	for _, t := range tags {
		if !oci.IsKeyTag(t) && !oci.IsAttached(t) {
			shown = append(shown, t)
		}
	}
	return shown
}
