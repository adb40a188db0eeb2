package manifests

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/plugins/kubernetes/mask"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// place returns the absolute path of a configured directory.
func place(ctx context.Context, directory string) string {
	if filepath.IsAbs(directory) {
		return filepath.Clean(directory)
	}
	path := filepath.Join(sdk.HostOf(ctx).StackDir, directory)
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// claimOf returns the claim of a file in a directory.
func claimOf(ctx context.Context, directory, name string) sdk.Claim {
	return sdk.FileClaim(filepath.Join(place(ctx, directory), name))
}

// claims returns the claims of an application: its directory, so that no other application writes there, and its files.
func claims(ctx context.Context, directory string, names []string) []sdk.Claim {
	list := []sdk.Claim{sdk.FileClaim(place(ctx, directory))}
	for _, name := range names {
		list = append(list, claimOf(ctx, directory, name))
	}
	return list
}

// hashOf returns the hash that an entry with these sensitive parts has of a file's content, "" for what is not an object in YAML.
func hashOf(content []byte, sensitive *mask.Tree) string {
	var object map[string]any
	if yaml.Unmarshal(content, &object) != nil || object == nil {
		return ""
	}
	return render.Digest([]render.Object{{Unstructured: &unstructured.Unstructured{Object: numbers(object)}, Sensitive: sensitive}})
}

// owns tells whether a file is there and still holds what the application wrote. A file that somebody else has changed or
// replaced is not removed with the application. A changed value of a Secret is not seen: state has no hash of it.
func (f *folder) owns(e entry) (bool, error) {
	if f.root == nil {
		return false, nil
	}
	info, err := f.root.Lstat(e.File)
	if err != nil || !info.Mode().IsRegular() { // a link is not what was written
		return false, ignoreMissing(err)
	}
	content, there, err := f.read(e.File)
	if err != nil || !there {
		return false, err
	}
	return e.Hash != "" && hashOf(content, e.Sensitive) == e.Hash, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// stays is the note of a file that the application wrote and does not remove.
const stays = " was changed since davit wrote it, so it stays"

// remove removes those of the files that are still the application's own, and the directory when it is empty then.
// Transferred files, and a transferred directory, are another application's in the same apply.
func remove(ctx context.Context, directory string, files []entry, transferred []sdk.Claim) error {
	folder, err := openFolder(ctx, directory, false)
	if err != nil {
		return err
	}
	defer folder.close()
	if err := folder.removeOwned(ctx, directory, files, transferred); err != nil {
		return err
	}
	if slices.Contains(transferred, sdk.FileClaim(place(ctx, directory))) {
		return nil
	}
	return folder.removeIfEmpty()
}

// planRemoval adds an item for each file that is there: its deletion, or that it stays. shown is put before the name.
func (f *folder) planRemoval(ctx context.Context, directory, shown string, files []entry) (items []sdk.Item, deletes []string, err error) {
	for _, e := range files {
		if !f.has(e.File) {
			continue
		}
		item := sdk.Item{
			Key: e.Key, Kind: e.Kind, Name: e.Name, Action: sdk.ActionDelete, Note: filepath.Join(shown, e.File),
			Causes: []sdk.Cause{sdk.CauseRemoved}, Claim: claimOf(ctx, directory, e.File),
		}
		if shown != "" {
			item.Key = item.Note
		}
		own, err := f.owns(e)
		if err != nil {
			return nil, nil, err
		}
		if own {
			deletes = append(deletes, e.File)
		} else {
			item.Action, item.Note, item.Causes = sdk.ActionNone, item.Note+stays, nil
		}
		items = append(items, item)
	}
	return items, deletes, nil
}
