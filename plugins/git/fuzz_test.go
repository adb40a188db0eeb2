package git

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Whatever names and modes the trees of a repository have: what is written stays in its folder, and no link leads out of it. A line is an
// entry, "MODE NAME": a folder (40000) holds what the lines after an empty one say, others have the text "x", which a link (120000) leads to.
func FuzzTree(f *testing.F) {
	f.Add("100644 a\n40000 d\n\n100755 b\n120000 l")
	f.Add("100644 ../x\n120000 ..\n40000 .git\n\n100644 config")
	f.Add("160000 sub\n100644 a/b\n100644 a\n40000 a")
	f.Add("0 zero\n777777 x\n100644 ")
	cache := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		store := memory.NewStorage()
		put := func(kind plumbing.ObjectType, content []byte) plumbing.Hash {
			o := store.NewEncodedObject()
			o.SetType(kind)
			w, err := o.Writer()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			h, err := store.SetEncodedObject(o)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		blob := put(plumbing.BlobObject, []byte("x"))
		inner := put(plumbing.TreeObject, nil)
		parts := strings.SplitN(text, "\n\n", 4)
		for _, part := range slices.Backward(parts) {
			inner = put(plumbing.TreeObject, rawTree(part, blob, inner))
		}
		commit := put(plumbing.CommitObject, []byte("tree "+inner.String()+"\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nm"))
		git, err := gogit.Open(store, nil)
		if err != nil {
			if git, err = gogit.Init(store, nil); err != nil {
				t.Fatal(err)
			}
		}
		c, err := object.GetCommit(store, commit)
		if err != nil {
			t.Fatal(err)
		}
		w := &trees{ctx: t.Context(), repo: &repository{git: git}, cacheDir: cache, ignoreSubmodules: len(text)%2 == 0}
		out, err := w.tree(c, "")
		if err != nil {
			return
		}
		err = filepath.WalkDir(out.Path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&fs.ModeSymlink != 0 {
				to, linkErr := filepath.EvalSymlinks(path)
				if rel, relErr := filepath.Rel(out.Path, to); linkErr == nil && (relErr != nil || !filepath.IsLocal(rel)) {
					t.Errorf("%q leads to %q", path, to)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "x*")); len(found) > 0 {
			t.Errorf("%q was written beside the trees", found)
		}
	})
}

// rawTree is a tree object as Git stores it, with names that no Git would write.
func rawTree(lines string, blob, folder plumbing.Hash) []byte {
	var b bytes.Buffer
	for line := range strings.SplitSeq(lines, "\n") {
		mode, name, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		h := blob
		if mode == "40000" {
			h = folder
		}
		b.WriteString(mode + " " + name + "\x00")
		b.Write(h[:])
	}
	return b.Bytes()
}
