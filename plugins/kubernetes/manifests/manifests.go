// Package manifests is application "manifests": the objects of a folder, written as files
// into a directory, for where there is no cluster or another program applies them.
package manifests

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Config is the configuration of application "manifests".
type Config struct {
	render.Config
	Directory string `davit:"directory" doc:"Where to write the files. Relative to the stack's directory, and then inside of it."`
}

// Outputs are the outputs of application "manifests".
type Outputs struct {
	sdk.ApplicationOutputs
	Directory string   `davit:"directory" doc:"The configured directory."`
	Files     []string `davit:"files" doc:"Names of the files in it."`
}

// Application is the type application "manifests".
type Application struct{}

var _ sdk.Managed[Config, Outputs] = Application{}

// inventory is what state keeps: which files are the application's own. It holds no content of them.
type inventory struct {
	Digest string  `json:"digest,omitempty"`
	Files  []entry `json:"files,omitempty"`
}

type entry struct {
	File string `json:"file"`
	Key  string `json:"key"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	Hash string `json:"hash,omitempty"` // of the object as written, without a Secret's values
}

// planned is what a plan pins for its apply.
type planned struct {
	Digest  string   `json:"digest"`
	Deletes []string `json:"deletes,omitempty"` // files
}

// file is one rendered object and the file that it goes to.
type file struct {
	render.Object
	name    string
	content []byte
}

func (f file) entry() entry {
	return entry{File: f.name, Key: render.Key(f.Unstructured), Kind: f.GetKind(), Name: render.Name(f.Unstructured), Hash: render.Digest([]render.Object{f.Object})}
}

func decode(private []byte) (inventory, error) {
	var v inventory
	if len(private) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(private, &v); err != nil {
		return v, fmt.Errorf("the application's inventory in state cannot be read: %w", err)
	}
	return v, nil
}

func encode(v any) []byte {
	text, _ := json.Marshal(v) // strings only
	return text
}

func (v inventory) find(name string) *entry {
	for i := range v.Files {
		if v.Files[i].File == name {
			return &v.Files[i]
		}
	}
	return nil
}

func renderFiles(ctx context.Context, c Config, address string) (*render.Set, []file, error) {
	set, err := c.Render(ctx, address, nil)
	if err != nil {
		return nil, nil, err
	}
	names := fileNames(set.Objects)
	files := make([]file, len(names))
	for i, o := range set.Objects {
		content, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot write %s as YAML: %w", render.Short(o.Unstructured), err)
		}
		files[i] = file{Object: o, name: names[i], content: content}
	}
	slices.SortFunc(files, func(a, b file) int { return compare(a.name, b.name) })
	return set, files, nil
}

// Plan compares the rendered objects with the files that are there.
func (Application) Plan(ctx context.Context, r sdk.PlanRequest[Config, Outputs]) (sdk.PlanResult[Outputs], error) {
	if r.Destroy {
		return planDestroy(ctx, r)
	}
	set, files, err := renderFiles(ctx, r.Config, r.Address)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	var known inventory
	if r.Prior != nil {
		if known, err = decode(r.Prior.Private); err != nil {
			return sdk.PlanResult[Outputs]{}, err
		}
	}
	folder, err := openFolder(ctx, r.Config.Directory, false)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	defer folder.close()
	result := sdk.PlanResult[Outputs]{Outputs: outputs(r.Config, files)}
	pins := planned{Digest: set.Digest}
	for _, f := range files {
		item, reason, uses, err := compareFile(folder, f, set, known)
		if err != nil {
			return result, err
		}
		result.Images = append(result.Images, uses...)
		if item != nil {
			result.Items = append(result.Items, *item)
		}
		if reason != "" {
			result.Reasons = append(result.Reasons, reason)
		}
	}
	if r.Prior != nil && r.Prior.Outputs.Directory != r.Config.Directory {
		if err := planMove(ctx, r.Prior.Outputs.Directory, known, &result); err != nil {
			return result, err
		}
		known = inventory{Digest: known.Digest}
	}
	for _, e := range known.Files {
		if slices.ContainsFunc(files, func(f file) bool { return f.name == e.File }) || !folder.has(e.File) {
			continue
		}
		pins.Deletes = append(pins.Deletes, e.File)
		result.Items = append(result.Items, sdk.Item{Key: e.Key, Kind: e.Kind, Name: e.Name, Action: sdk.ActionDelete, Note: e.File})
		result.Reasons = append(result.Reasons, e.File+" is not rendered any more")
	}
	result.Private = encode(pins)
	conclude(&result, r.Prior, known, set)
	return result, ctx.Err()
}

// planMove lists the files in the directory that was configured before.
func planMove(ctx context.Context, directory string, known inventory, result *sdk.PlanResult[Outputs]) error {
	old, err := openFolder(ctx, directory, false)
	if err != nil {
		return err
	}
	defer old.close()
	result.Reasons = append(result.Reasons, "the directory was "+directory)
	for _, e := range known.Files {
		if old.has(e.File) {
			where := filepath.Join(directory, e.File)
			result.Items = append(result.Items, sdk.Item{Key: where, Kind: e.Kind, Name: e.Name, Action: sdk.ActionDelete, Note: where})
		}
	}
	return nil
}

func conclude(result *sdk.PlanResult[Outputs], prior *sdk.Record[Config, Outputs], known inventory, set *render.Set) {
	switch {
	case prior == nil && len(result.Items) == 0:
		result.Action, result.Reasons = sdk.ActionAdopt, []string{"all files are there already, as they should be"}
	case prior == nil:
		result.Action = sdk.ActionCreate
	case len(result.Items) > 0 || prior.Outputs.Directory != result.Outputs.Directory || prior.Outputs.Health.OrZero() != "Current":
		result.Action = sdk.ActionUpdate
		if known.Digest != "" && known.Digest != set.Digest {
			result.Reasons = append([]string{"the manifests changed"}, result.Reasons...)
		}
	default:
		result.Action, result.Outputs, result.Private = sdk.ActionNone, prior.Outputs, prior.Private
	}
}

// compareFile tells what happens to one file, nil when nothing does.
func compareFile(folder *folder, f file, set *render.Set, known inventory) (*sdk.Item, string, []sdk.ImageUse, error) {
	old, there, err := folder.read(f.name)
	if err != nil {
		return nil, "", nil, err
	}
	if there && string(old) == string(f.content) {
		return nil, "", nil, nil
	}
	item := &sdk.Item{Key: render.Key(f.Unstructured), Kind: f.GetKind(), Name: render.Name(f.Unstructured), Action: sdk.ActionCreate, Note: f.name}
	var before map[string]any
	var reason string
	if there {
		item.Action = sdk.ActionUpdate
		if yaml.Unmarshal(old, &before) != nil || before == nil {
			before, item.Note = map[string]any{}, f.name+" could not be read as YAML; it is written anew"
		}
		before = numbers(before)
		switch e := known.find(f.name); {
		case e == nil:
			item.Action, item.Note = sdk.ActionAdopt, f.name+" is there already; it is written anew"
		case e.Hash == f.entry().Hash && !render.IsSecret(f.Unstructured):
			reason = f.name + " was changed outside of davit"
		}
	} else if known.find(f.name) != nil {
		reason = f.name + " was deleted outside of davit"
	}
	options := diff.Options{Secret: render.IsSecret(f.Unstructured), Unknown: set.Unknown}
	changes := diff.Compare(before, f.Object.Object, options)
	var more string
	if item.Fields, more = diff.Fields(changes); more != "" {
		item.Note += "; " + more
	}
	if there && len(changes) == 0 {
		item.Note += ": layout only"
	}
	return item, reason, imageUses(f, before, set), nil
}

// numbers makes the numbers of a file what those of rendered objects are.
func numbers(v map[string]any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return render.Decode(text)
}

func imageUses(f file, before map[string]any, set *render.Set) []sdk.ImageUse {
	old := map[string]string{}
	for _, c := range render.Containers(before) {
		old[c.Name] = c.Image
	}
	var uses []sdk.ImageUse
	for _, c := range render.Containers(f.Object.Object) {
		if old[c.Name] == c.Image {
			continue
		}
		after := sdk.Known(c.Image)
		if prefix, unknown := set.Unknown[c.Image]; unknown {
			after = sdk.UnknownPrefix(prefix)
		}
		uses = append(uses, sdk.ImageUse{Name: f.GetKind() + "/" + render.Name(f.Unstructured) + ":" + c.Name, Before: old[c.Name], After: after})
	}
	return uses
}

func outputs(c Config, files []file) Outputs {
	o := Outputs{Directory: c.Directory}
	o.Revision, o.Health = c.Source.Revision, sdk.Known("Current")
	for _, f := range files {
		o.Items = append(o.Items, render.Key(f.Unstructured))
		o.Files = append(o.Files, f.name)
	}
	slices.Sort(o.Items)
	return o
}

func planDestroy(ctx context.Context, r sdk.PlanRequest[Config, Outputs]) (sdk.PlanResult[Outputs], error) {
	result := sdk.PlanResult[Outputs]{Action: sdk.ActionDelete}
	if r.Prior == nil {
		result.Action = sdk.ActionNone
		return result, nil
	}
	known, err := decode(r.Prior.Private)
	if err != nil {
		return result, err
	}
	folder, err := openFolder(ctx, r.Prior.Outputs.Directory, false)
	if err != nil {
		return result, err
	}
	defer folder.close()
	var pins planned
	for _, e := range known.Files {
		if folder.has(e.File) {
			pins.Deletes = append(pins.Deletes, e.File)
			result.Items = append(result.Items, sdk.Item{Key: e.Key, Kind: e.Kind, Name: e.Name, Action: sdk.ActionDelete, Note: e.File})
		}
	}
	result.Private = encode(pins)
	return result, nil
}
