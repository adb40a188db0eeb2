package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Apply writes the files that differ and removes those that are not rendered any more.
func (Application) Apply(ctx context.Context, r sdk.ApplyRequest[Config, Outputs]) (sdk.Result[Outputs], error) {
	set, files, err := renderFiles(ctx, r.Config, r.Address)
	if err != nil {
		return sdk.Result[Outputs]{}, err
	}
	var pins planned
	if err := json.Unmarshal(r.Private, &pins); err != nil || pins.Digest != set.Digest {
		return sdk.Result[Outputs]{}, &sdk.Error{Summary: "the manifests have changed since the plan was made", Code: "kubernetes.stale", Hint: "Plan again."}
	}
	known, err := priorInventory(r)
	if err != nil {
		return sdk.Result[Outputs]{}, err
	}
	if err := leaveOld(ctx, r); err != nil {
		return sdk.Result[Outputs]{}, err
	}
	// What is about to be written is in state before it is: a killed davit leaves no file that it does not know.
	made := inventory{Digest: set.Digest}
	for _, f := range files {
		made.Files = append(made.Files, f.entry())
	}
	for _, e := range known.Files {
		if made.find(e.File) == nil {
			made.Files = append(made.Files, e)
		}
	}
	o := outputs(r.Config, files)
	o.Health = sdk.Known("InProgress")
	if err := sdk.Save(ctx, sdk.Result[Outputs]{Outputs: o, Private: encode(made)}); err != nil {
		return sdk.Result[Outputs]{}, err
	}
	var deletes []entry
	for _, name := range pins.Deletes {
		if e := known.find(name); e != nil {
			deletes = append(deletes, *e)
		}
	}
	if err := write(ctx, r.Config.Directory, files, deletes, r.Transferred); err != nil {
		return sdk.Result[Outputs]{Outputs: o, Private: encode(made)}, err
	}
	made.Files = slices.DeleteFunc(made.Files, func(e entry) bool {
		return !slices.ContainsFunc(files, func(f file) bool { return f.name == e.File })
	})
	return sdk.Result[Outputs]{Outputs: outputs(r.Config, files), Private: encode(made)}, nil
}

func priorInventory(r sdk.ApplyRequest[Config, Outputs]) (inventory, error) {
	switch {
	case r.Checkpoint != nil && len(r.Checkpoint.Private) > 0:
		return decode(r.Checkpoint.Private)
	case r.Prior != nil:
		return decode(r.Prior.Private)
	}
	return inventory{}, nil
}

// leaveOld removes the files from the directory that was configured before, if it was another.
func leaveOld(ctx context.Context, r sdk.ApplyRequest[Config, Outputs]) error {
	if !moved(ctx, r.Prior, r.Config) {
		return nil
	}
	old, err := decode(r.Prior.Private)
	if err != nil {
		return err
	}
	return remove(ctx, r.Prior.Outputs.Directory, old.Files, r.Transferred)
}

// write writes the files that differ, and removes those of deletes that are the application's own.
func write(ctx context.Context, directory string, files []file, deletes []entry, transferred []sdk.Claim) error {
	folder, err := openFolder(ctx, directory, true)
	if err != nil {
		return err
	}
	defer folder.close()
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		old, there, err := folder.read(f.name)
		if err != nil {
			return err
		}
		if there && string(old) == string(f.content) {
			continue
		}
		if err := folder.write(f.name, f.content, render.IsSecret(f.Unstructured)); err != nil {
			return err
		}
		sdk.ItemStatus(ctx, render.Key(f.Unstructured), "applied", f.name)
	}
	if err := folder.removeOwned(ctx, directory, deletes, transferred); err != nil {
		return err
	}
	return folder.sync()
}

// Destroy removes the files that are still the application's own, and the directory if nothing else is in it.
func (Application) Destroy(ctx context.Context, r sdk.DestroyRequest[Config, Outputs]) error {
	known, err := decode(r.Prior.Private)
	if err != nil {
		return err
	}
	return remove(ctx, r.Prior.Outputs.Directory, known.Files, r.Transferred)
}

// removeOwned removes those of the files that are still the application's own. Transferred ones are another
// application's in the same apply.
func (f *folder) removeOwned(ctx context.Context, directory string, files []entry, transferred []sdk.Claim) error {
	var errs []error
	for _, e := range files {
		if slices.Contains(transferred, claimOf(ctx, directory, e.File)) {
			continue
		}
		own, err := f.owns(e)
		switch {
		case err != nil:
			errs = append(errs, err)
		case own:
			errs = append(errs, f.remove(e.File))
		case f.has(e.File):
			sdk.Log(ctx, directory, e.File+stays)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot remove the files in %s: %w", directory, err)
	}
	return nil
}
