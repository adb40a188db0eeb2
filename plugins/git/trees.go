package git

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// trees writes Git trees into the content-addressed cache.
type trees struct {
	ctx              context.Context
	repo             *repository
	cacheDir         string
	ignoreSubmodules bool
}

// tree returns the files below a path at a commit.
func (t *trees) tree(c *object.Commit, path string) (sdk.Tree, error) {
	root, err := c.Tree()
	if err != nil {
		return sdk.Tree{}, err
	}
	if path != "" {
		if root, err = root.Tree(path); err != nil {
			return sdk.Tree{}, &sdk.Error{Summary: fmt.Sprintf("the repository has no folder %q at commit %s", path, c.Hash.String()[:7]), Code: "git.no_path", Err: err}
		}
	}
	// Which tree of the cache a Git tree is was noted when it was written: nothing is listed twice.
	note := "git/trees/" + root.Hash.String()
	if t.ignoreSubmodules {
		note += "-nosub"
	}
	if out, ok := tree.Known(t.cacheDir, note); ok {
		return out, nil
	}
	entries, err := t.entries(root)
	if err != nil {
		return sdk.Tree{}, err
	}
	out, err := tree.Write(t.ctx, t.cacheDir, entries, t.open)
	if err != nil {
		return out, err
	}
	return out, tree.Remember(t.cacheDir, note, out)
}

const blobPrefix = "git:"

func (t *trees) open(e tree.Entry) (io.ReadCloser, error) {
	blob, err := t.repo.git.BlobObject(plumbing.NewHash(strings.TrimPrefix(e.Digest, blobPrefix)))
	if err != nil {
		return nil, err
	}
	return blob.Reader()
}

func (t *trees) entries(root *object.Tree) ([]tree.Entry, error) {
	w := object.NewTreeWalker(root, true, nil)
	defer w.Close()
	var out []tree.Entry
	var limit tree.Limit
	for names := 0; ; names++ {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		if names > 2*tree.MaxFiles { // folders of folders, with nothing in them
			return nil, tooMuch(fmt.Errorf("it has more than %d files and folders", 2*tree.MaxFiles))
		}
		name, entry, err := w.Next()
		if err == io.EOF { //nolint:errorlint // the walker returns it bare
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		e := tree.Entry{Path: name, Digest: blobPrefix + entry.Hash.String()}
		switch entry.Mode {
		case filemode.Dir:
			continue
		case filemode.Submodule:
			if t.ignoreSubmodules {
				continue
			}
			return nil, &sdk.Error{Summary: fmt.Sprintf("the repository has a submodule at %s", name), Path: sdk.At("submodules"), Code: "git.submodule",
				Hint: "davit does not fetch submodules. Set submodules = \"ignore\" to leave them out, or declare a source for each."}
		case filemode.Symlink:
			e.Mode = fs.ModeSymlink
			if e.Link, err = t.link(entry.Hash); err != nil {
				return nil, err
			}
		case filemode.Executable:
			e.Mode = 0o755
		case filemode.Regular, filemode.Deprecated:
			e.Mode = 0o644
		default:
			return nil, &sdk.Error{Summary: fmt.Sprintf("%s is neither a file nor a link (mode %s)", name, entry.Mode), Code: "git.mode"}
		}
		if e.Size, err = t.repo.git.Storer.EncodedObjectSize(entry.Hash); err != nil {
			return nil, err
		}
		if err := limit.Add(e); err != nil {
			return nil, tooMuch(err)
		}
		out = append(out, e)
	}
}

// tooMuch is the error of a repository that has more than a source may have.
func tooMuch(err error) error {
	return &sdk.Error{Summary: "the repository is larger than davit accepts", Detail: err.Error(), Code: "git.limit", Err: err, Path: sdk.At("path"),
		Hint: "Set path to the folder that is needed."}
}

// longestLink is more than any file system takes.
const longestLink = 4096

func (t *trees) link(hash plumbing.Hash) (string, error) {
	blob, err := t.repo.git.BlobObject(hash)
	if err != nil {
		return "", err
	}
	r, err := blob.Reader()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, longestLink+1))
	if err == nil && len(b) > longestLink {
		err = fmt.Errorf("a link is longer than %d bytes", longestLink)
	}
	return string(b), err
}
