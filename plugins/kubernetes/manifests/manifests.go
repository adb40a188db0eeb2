// Package manifests is application "manifests": the objects of a folder, written as files
// into a directory, for where there is no cluster or another program applies them.
package manifests

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/mask"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Config is the configuration of application "manifests".
type Config struct {
	render.Config
	Directory string `davit:"directory" doc:"Directory for the files: absolute, or relative to the stack's directory and inside it."`
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
	// Bare is Hash without images, Images are the images: whether an object differs in its images only.
	Bare   string `json:"bare,omitempty"`
	Images string `json:"images,omitempty"`
	// Sensitive are the parts of the object that depended on something sensitive. The hashes and Images are without them.
	Sensitive *mask.Tree `json:"sensitive,omitempty"`
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
	e := entry{File: f.name, Key: render.Key(f.Unstructured), Kind: f.GetKind(), Name: render.Name(f.Unstructured), Hash: render.Digest([]render.Object{f.Object}), Sensitive: f.Sensitive}
	shown, _ := f.Sensitive.Apply(f.Object.Object).(map[string]any)
	if e.Images = images(shown); e.Images != "" {
		e.Bare = render.Digest([]render.Object{{Unstructured: render.WithoutImages(f.Unstructured), Sensitive: f.Sensitive}})
	}
	return e
}

// mask says what of the file that was written is sensitive. A nil entry has nothing.
func (e *entry) mask() *mask.Tree {
	if e == nil {
		return nil
	}
	return e.Sensitive
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
	p := planning{r: r, folder: folder, set: set, known: known, why: newWhy(r.Config, r.Prior, known), moved: moved(ctx, r.Prior, r.Config)}
	p.result.Outputs = outputs(r.Config, files)
	p.result.Claims = claims(ctx, r.Config.Directory, p.result.Outputs.Files)
	for _, f := range files {
		if err := p.compareFile(ctx, f); err != nil {
			return p.result, err
		}
	}
	pins := planned{Digest: set.Digest}
	if p.moved {
		err = p.planMove(ctx)
	} else {
		pins.Deletes, err = p.planPrune(ctx, files)
	}
	if err != nil {
		return p.result, err
	}
	p.result.Private = encode(pins)
	p.conclude()
	return p.result, ctx.Err()
}

// planning is one call of Plan.
type planning struct {
	r      sdk.PlanRequest[Config, Outputs]
	folder *folder
	set    *render.Set
	known  inventory // what state has of the files
	why    why
	moved  bool // the files were in another directory
	result sdk.PlanResult[Outputs]
}

// moved tells whether the directory is another one than the last apply's, however it is written.
func moved(ctx context.Context, prior *sdk.Record[Config, Outputs], c Config) bool {
	return prior != nil && place(ctx, prior.Outputs.Directory) != place(ctx, c.Directory)
}

// planMove adds the files in the directory that was configured before.
func (p *planning) planMove(ctx context.Context) error {
	directory := p.r.Prior.Outputs.Directory
	old, err := openFolder(ctx, directory, false)
	if err != nil {
		return err
	}
	defer old.close()
	p.result.Reasons = append([]string{fmt.Sprintf("directory changes from %q to %q", directory, p.r.Config.Directory)}, p.result.Reasons...)
	items, _, err := old.planRemoval(ctx, directory, directory, p.known.Files)
	p.result.Items = append(p.result.Items, items...)
	return err
}

// planPrune adds the files that are not rendered any more, and returns those to delete.
func (p *planning) planPrune(ctx context.Context, files []file) ([]string, error) {
	gone := slices.DeleteFunc(slices.Clone(p.known.Files), func(e entry) bool {
		return slices.ContainsFunc(files, func(f file) bool { return f.name == e.File })
	})
	items, deletes, err := p.folder.planRemoval(ctx, p.r.Config.Directory, "", gone)
	if err != nil {
		return nil, err
	}
	for _, name := range deletes {
		p.result.Reasons = append(p.result.Reasons, name+" is no longer rendered")
	}
	if len(gone) > 0 {
		p.result.Causes = collect(p.result.Causes, p.why.manifests)
	}
	p.result.Items = append(p.result.Items, items...)
	return deletes, nil
}

// conclude decides the action by what was found.
func (p *planning) conclude() {
	res, prior := &p.result, p.r.Prior
	for _, i := range res.Items {
		if i.Action != sdk.ActionDelete {
			res.Causes = collect(res.Causes, i.Causes)
		}
	}
	switch {
	case prior == nil && len(res.Items) == 0:
		res.Action, res.Reasons, res.Causes = sdk.ActionAdopt, []string{"all files exist already with the wanted content"}, []sdk.Cause{sdk.CauseState}
	case prior == nil:
		res.Action = sdk.ActionCreate
	case len(res.Items) > 0 || p.moved || prior.Outputs.Health.OrZero() != "Current":
		res.Action = sdk.ActionUpdate
		p.explain()
	default:
		res.Action, res.Outputs, res.Private, res.Causes = sdk.ActionNone, prior.Outputs, prior.Private, nil
	}
}

// explain completes the causes and the reasons of an update.
func (p *planning) explain() {
	res := &p.result
	if p.moved {
		res.Causes = collect(res.Causes, []sdk.Cause{sdk.CauseConfig})
	}
	if p.r.Prior.Outputs.Health.OrZero() != "Current" {
		res.Causes = collect(res.Causes, []sdk.Cause{sdk.CauseRetry})
		res.Reasons = append(res.Reasons, "the last apply did not write all files")
	}
	var lead []string
	if slices.Contains(res.Causes, sdk.CauseImage) {
		lead = append(lead, "images changed")
	}
	if slices.Contains(res.Causes, sdk.CauseSource) || slices.Contains(res.Causes, sdk.CauseConfig) && !p.moved {
		lead = append(lead, "the manifests changed")
	}
	res.Reasons = append(lead, res.Reasons...)
}

// compareFile adds what happens to one file, if anything does.
func (p *planning) compareFile(ctx context.Context, f file) error {
	old, there, err := p.folder.read(f.name)
	if err != nil {
		return err
	}
	if there && string(old) == string(f.content) {
		return nil
	}
	item := sdk.Item{
		Key: render.Key(f.Unstructured), Kind: f.GetKind(), Name: render.Name(f.Unstructured), Action: sdk.ActionCreate, Note: f.name,
		Causes: p.why.rendered(f), Claim: claimOf(ctx, p.r.Config.Directory, f.name),
	}
	was := p.known.find(f.name)
	if p.moved { // what state has of it is in another directory
		was, item.Causes = nil, collect(item.Causes, []sdk.Cause{sdk.CauseConfig})
	}
	var before map[string]any
	switch {
	case there:
		item.Action = sdk.ActionUpdate
		if yaml.Unmarshal(old, &before) != nil || before == nil {
			before, item.Note = map[string]any{}, f.name+" is not valid YAML and will be rewritten"
		}
		before = numbers(before)
		if was == nil {
			item.Action, item.Note = sdk.ActionAdopt, f.name+" exists already and will be rewritten"
		} else if p.drifted(f, old, *was, item.Causes) {
			item.Causes = collect(item.Causes, []sdk.Cause{sdk.CauseDrift})
			p.result.Reasons = append(p.result.Reasons, f.name+" was changed outside of davit")
		}
	case was != nil:
		item.Causes = collect(item.Causes, []sdk.Cause{sdk.CauseDrift})
		p.result.Reasons = append(p.result.Reasons, f.name+" was deleted outside of davit")
	}
	changes := diff.Compare(before, f.Object.Object, diff.Options{Secret: render.IsSecret(f.Unstructured), Sensitive: f.Sensitive, Before: was.mask(), Unknown: p.set.Unknown})
	var more string
	if item.Fields, more = diff.Fields(changes); more != "" {
		item.Note += "; " + more
	}
	if there && len(changes) == 0 {
		item.Note += ": layout only"
	}
	if len(item.Causes) == 0 { // a value of a Secret, of which state has no hash
		item.Causes = p.why.manifests
	}
	p.result.Images = append(p.result.Images, imageUses(f, before, p.set)...)
	p.result.Items = append(p.result.Items, item)
	return nil
}

// drifted tells whether a file does not hold what was written there. A changed value of a Secret may be the source's.
func (p *planning) drifted(f file, content []byte, was entry, rendered []sdk.Cause) bool {
	if hashOf(content, was.Sensitive) != was.Hash {
		return true
	}
	return len(rendered) == 0 && !render.IsSecret(f.Unstructured) && f.Sensitive == nil // the layout
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
		if old[c.Name] == c.Image || f.Hides(c.Image) {
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
	result := sdk.PlanResult[Outputs]{Action: sdk.ActionDelete, Causes: []sdk.Cause{sdk.CauseRemoved}}
	if r.Prior == nil {
		return sdk.PlanResult[Outputs]{Action: sdk.ActionNone}, nil
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
	if result.Items, pins.Deletes, err = folder.planRemoval(ctx, r.Prior.Outputs.Directory, "", known.Files); err != nil {
		return result, err
	}
	result.Private = encode(pins)
	return result, nil
}
