package git

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/davit-sh/davit/sdk"
)

// history walks commits. What a folder is at a commit is one hash, so that nothing is ever
// diffed; counts of commits seen before are kept in a file.
type history struct {
	ctx    context.Context
	repo   *repository
	cache  string
	counts map[string]int // by commit and path
	hashes map[[2]string]plumbing.Hash
}

// at returns the hash of what is at a path in a commit; zero if nothing is.
func (h *history) at(c *object.Commit, path string) (plumbing.Hash, error) {
	if path == "" {
		return c.TreeHash, nil
	}
	key := [2]string{c.TreeHash.String(), path}
	if hash, ok := h.hashes[key]; ok {
		return hash, nil
	}
	tree, err := c.Tree()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	hash := plumbing.ZeroHash
	entry, err := tree.FindEntry(path)
	switch {
	case err == nil:
		hash = entry.Hash
	case !errors.Is(err, object.ErrEntryNotFound) && !errors.Is(err, object.ErrDirectoryNotFound):
		return hash, err
	}
	if h.hashes == nil {
		h.hashes = map[[2]string]plumbing.Hash{}
	}
	h.hashes[key] = hash
	return hash, nil
}

// step looks at one commit as `git rev-list COMMIT -- PATH` does: a commit counts if it differs
// from all its parents; a merge that equals a parent is followed to that parent only.
func (h *history) step(c *object.Commit, path string) (counts bool, next []*object.Commit, err error) {
	if err := h.ctx.Err(); err != nil {
		return false, nil, err
	}
	var parents []*object.Commit
	for _, hash := range c.ParentHashes {
		p, err := h.repo.git.CommitObject(hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue // a shallow repository ends here
		}
		if err != nil {
			return false, nil, err
		}
		parents = append(parents, p)
	}
	if path == "" {
		return true, parents, nil
	}
	mine, err := h.at(c, path)
	if err != nil {
		return false, nil, err
	}
	for _, p := range parents {
		theirs, err := h.at(p, path)
		if err != nil {
			return false, nil, err
		}
		if theirs == mine {
			return false, []*object.Commit{p}, nil
		}
	}
	return len(parents) > 0 || !mine.IsZero(), parents, nil
}

// count returns how many commits lead to c, or touched path on the way.
func (h *history) count(c *object.Commit, path string) (int, error) {
	h.load()
	seen := map[plumbing.Hash]bool{c.Hash: true}
	todo := []*object.Commit{c}
	n := 0
	for len(todo) > 0 {
		x := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		// While the way is one line, what was counted before continues it.
		if len(todo) == 0 && len(seen) == 1+n {
			if before, ok := h.counts[key(x, path)]; ok && path == "" {
				n += before
				break
			}
		}
		if x.Hash == c.Hash {
			if before, ok := h.counts[key(x, path)]; ok {
				return before, nil
			}
		}
		counts, next, err := h.step(x, path)
		if err != nil {
			return 0, err
		}
		if counts {
			n++
		}
		for _, p := range next {
			if !seen[p.Hash] {
				seen[p.Hash] = true
				todo = append(todo, p)
			}
		}
	}
	h.counts[key(c, path)] = n
	return n, h.save()
}

func key(c *object.Commit, path string) string { return c.Hash.String() + " " + path }

// lastTouching finds the newest commit, c or before it, that touched a path.
func (h *history) lastTouching(c *object.Commit, path string) (*object.Commit, error) {
	if hash, err := h.at(c, path); err != nil {
		return nil, err
	} else if hash.IsZero() {
		return nil, &sdk.Error{Summary: "the repository has no folder " + path + " at commit " + c.Hash.String()[:7], Path: sdk.At("path"), Code: "git.no_path"}
	}
	for {
		counts, next, err := h.step(c, path)
		if err != nil || counts || len(next) == 0 {
			return c, err
		}
		c = next[0]
	}
}

// since lists the commits that lead to c and not to old, newest first; with a path, those that touched it.
func (h *history) since(c *object.Commit, old plumbing.Hash, path string) ([]*object.Commit, error) {
	skip := map[plumbing.Hash]bool{}
	if o, err := h.repo.git.CommitObject(old); err == nil {
		// What leads to the old commit is not news. A few thousand are enough to find where the lines part.
		const enough = 5000
		todo := []*object.Commit{o}
		for len(todo) > 0 && len(skip) < enough {
			x := todo[0]
			todo = todo[1:]
			if skip[x.Hash] {
				continue
			}
			skip[x.Hash] = true
			_, next, err := h.step(x, "")
			if err != nil {
				return nil, err
			}
			todo = append(todo, next...)
		}
	}
	var out []*object.Commit
	seen := map[plumbing.Hash]bool{}
	todo := []*object.Commit{c}
	const most = 1000
	for len(todo) > 0 && len(seen) < most {
		x := todo[0]
		todo = todo[1:]
		if seen[x.Hash] || skip[x.Hash] {
			continue
		}
		seen[x.Hash] = true
		counts, next, err := h.step(x, path)
		if err != nil {
			return nil, err
		}
		if counts {
			out = append(out, x)
		}
		todo = append(todo, next...)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Committer.When.After(out[j].Committer.When) })
	return out, nil
}

func (h *history) load() {
	if h.counts != nil {
		return
	}
	h.counts = map[string]int{}
	if b, err := os.ReadFile(h.cache); err == nil && json.Unmarshal(b, &h.counts) != nil {
		h.counts = map[string]int{} // a damaged cache is no cache
	}
}

// mostCounts is how many counts are kept before the cache begins anew.
const mostCounts = 2000

func (h *history) save() error {
	if len(h.counts) > mostCounts {
		h.counts = map[string]int{}
	}
	b, err := json.Marshal(h.counts)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.cache), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(h.cache), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), h.cache)
}
