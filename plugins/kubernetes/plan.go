package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
	"github.com/davit-sh/davit/sdk"
)

// planned is what a plan pins for its apply.
type planned struct {
	Digest  string     `json:"digest"`            // of the rendered objects, without images and secrets
	Deletes []deletion `json:"deletes,omitempty"` // in this order
}

// deletion is one object to delete, and which one of its name.
type deletion struct {
	Object entry     `json:"object"`
	UID    types.UID `json:"uid"`
}

// planning is what planning and applying one instance share.
type planning struct {
	app       *Application
	address   string
	config    Config
	cluster   *cluster.Cluster
	set       *render.Set
	inventory inventory
	before    *planned // of the reviewed plan; nil at first
}

func (a *Application) begin(ctx context.Context, address string, config Config, prior, private []byte) (*planning, error) {
	p := &planning{app: a, address: address, config: config}
	var err error
	if p.cluster, err = a.connect(ctx, config); err != nil {
		return nil, err
	}
	if p.inventory, err = decodeInventory(prior); err != nil {
		return nil, err
	}
	if len(private) > 0 {
		p.before = &planned{}
		if err := json.Unmarshal(private, p.before); err != nil {
			return nil, fmt.Errorf("the application's part of the plan cannot be read: %w", err)
		}
	}
	if config.Namespace == "" {
		config.Namespace = "default"
	}
	p.set, err = config.Render(ctx, address, scope(p.cluster))
	return p, err
}

// Plan compares the rendered folder with the cluster.
func (a *Application) Plan(ctx context.Context, r sdk.PlanRequest[Config, Outputs]) (sdk.PlanResult[Outputs], error) {
	if r.Destroy {
		return a.planDestroy(ctx, r)
	}
	var prior []byte
	if r.Prior != nil {
		prior = r.Prior.Private
	}
	p, err := a.begin(ctx, r.Address, r.Config, prior, r.Private)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	if other, shared := a.claims.set(r.Address, p.cluster.Server, p.set.Objects); shared != nil {
		return sdk.PlanResult[Outputs]{}, &sdk.Error{
			Summary: fmt.Sprintf("%s is rendered by two applications", render.Short(shared.Unstructured)),
			Detail:  fmt.Sprintf("By %s and by %s (%s).", other, r.Address, shared.File), Code: "kubernetes.shared", Path: sdk.At("path"),
			Hint: "Leave it to one of them.",
		}
	}
	all, err := p.look(ctx)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	slices.SortStableFunc(all, func(a, b seen) int { return later(a.ref.GroupKind(), b.ref.GroupKind()) })
	deletes, err := p.deletions(ctx)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	return p.result(ctx, r.Prior, all, deletes)
}

func (p *planning) result(ctx context.Context, prior *sdk.Record[Config, Outputs], all []seen, deletes []deletion) (sdk.PlanResult[Outputs], error) {
	result := sdk.PlanResult[Outputs]{Outputs: p.outputs(all)}
	pins := planned{Digest: p.set.Digest, Deletes: deletes}
	adopted := true
	for i := range all {
		s := &all[i]
		if s.leave {
			continue
		}
		if item, reasons := p.item(s); item != nil {
			result.Items = append(result.Items, *item)
			result.Reasons = append(result.Reasons, reasons...)
			adopted = adopted && item.Action == sdk.ActionAdopt
		}
	}
	for _, d := range deletes {
		result.Items = append(result.Items, deleted(d, ""))
		result.Reasons = append(result.Reasons, fmt.Sprintf("%s is not in the manifests any more", d.Object.ref().Short()))
	}
	result.Images = p.images(all)
	result.Private, _ = json.Marshal(pins) // strings only
	switch {
	case prior == nil && len(result.Items) == 0:
		result.Action, result.Reasons = sdk.ActionAdopt, []string{"all objects are there already, as they should be"}
	case prior == nil && adopted:
		result.Action = sdk.ActionAdopt
	case prior == nil:
		result.Action = sdk.ActionCreate
	case len(result.Items) > 0:
		result.Action = sdk.ActionUpdate
		p.manifestsReason(&result, prior)
	case p.config.Wait && prior.Outputs.Health.OrZero() != "Current":
		result.Action = sdk.ActionUpdate
		result.Reasons = []string{fmt.Sprintf("the last apply ended with health %q; it is waited for again", healthOf(prior))}
	default:
		result.Action, result.Outputs, result.Private = sdk.ActionNone, prior.Outputs, prior.Private
		result.Reasons = nil
	}
	return result, ctx.Err()
}

func healthOf(prior *sdk.Record[Config, Outputs]) string {
	if h, known := prior.Outputs.Health.Get(); known {
		return h
	}
	return "Unknown"
}

func (p *planning) manifestsReason(result *sdk.PlanResult[Outputs], prior *sdk.Record[Config, Outputs]) {
	if p.inventory.Digest == p.set.Digest || p.inventory.Digest == "" {
		return
	}
	reason := "the manifests changed"
	if from := prior.Outputs.Revision; from != p.config.Source.Revision {
		reason += fmt.Sprintf(" (%s -> %s)", short(from), short(p.config.Source.Revision))
	}
	result.Reasons = append([]string{reason}, result.Reasons...)
}

// short cuts long hexadecimal revisions as Git does.
func short(revision string) string {
	if len(revision) == 40 && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision[:7]
	}
	return revision
}

// item is what happens to one object, nil when nothing does.
func (p *planning) item(s *seen) (*sdk.Item, []string) {
	item := &sdk.Item{Key: key(s.ref), Kind: s.ref.Kind, Name: render.Name(s.Unstructured), Note: s.pending}
	var more string
	item.Fields, more = diff.Fields(s.changes)
	known := p.inventory.find(s.ref)
	var reasons []string
	switch {
	case s.live == nil:
		item.Action = sdk.ActionCreate
		if known != nil && known.UID != "" && s.pending == "" {
			reasons = append(reasons, s.ref.Short()+" was deleted outside of davit")
		}
	case len(s.replace) > 0:
		item.Action = sdk.ActionReplace
		item.Note = "deleted and made anew: " + strings.Join(s.replace, ", ") + " cannot be changed in place"
	case len(s.changes) == 0 && !s.claims:
		return nil, nil
	case known == nil && s.live.GetAnnotations()[render.Annotation] != p.address:
		item.Action = sdk.ActionAdopt
		item.Note = "is there already; davit takes it over"
		if owner := s.live.GetAnnotations()[render.Annotation]; owner != "" {
			item.Note = "moves here from " + owner
		}
	default:
		item.Action = sdk.ActionUpdate
		reasons = p.drift(s, known)
		if len(s.changes) == 0 {
			item.Note = "no value changes; davit takes over who manages its fields"
		}
	}
	item.Note = strings.Trim(item.Note+"; "+more, "; ")
	return item, reasons
}

// drift says who changed an object that davit would not have changed by itself, and from whom fields are taken.
func (p *planning) drift(s *seen, known *entry) []string {
	owners := diff.Owners(s.live, s.changes)
	switch {
	case len(s.changes) == 0:
		return nil
	case known == nil || known.Hash != render.Digest([]render.Object{s.Object}):
		if len(owners) > 0 {
			return []string{fmt.Sprintf("%s: takes over fields that %s changed", s.ref.Short(), strings.Join(owners, ", "))}
		}
		return nil
	case len(owners) > 0:
		return []string{fmt.Sprintf("%s was changed by %s", s.ref.Short(), strings.Join(owners, ", "))}
	case render.IsSecret(s.Unstructured):
		return nil // the hash does not tell: it has no values
	default:
		return []string{s.ref.Short() + " was changed outside of davit"}
	}
}

func deleted(d deletion, note string) sdk.Item {
	r := d.Object.ref()
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + r.Name
	}
	return sdk.Item{Key: key(r), Kind: r.Kind, Name: name, Action: sdk.ActionDelete, Note: note}
}

// images lists the containers whose image changes.
func (p *planning) images(all []seen) []sdk.ImageUse {
	var uses []sdk.ImageUse
	for i := range all {
		s := &all[i]
		before := map[string]string{}
		if s.live != nil {
			for _, c := range render.Containers(s.live.Object) {
				before[c.Name] = c.Image
			}
		}
		for _, c := range render.Containers(s.Object.Object) {
			after := sdk.Known(c.Image)
			if prefix, unknown := p.set.Unknown[c.Image]; unknown {
				after = sdk.UnknownPrefix(prefix)
			}
			if before[c.Name] == c.Image {
				continue
			}
			uses = append(uses, sdk.ImageUse{Name: s.ref.Kind + "/" + render.Name(s.Unstructured) + ":" + c.Name, Before: before[c.Name], After: after})
		}
	}
	return uses
}

// outputs are the outputs as they will be when all goes well. A namespace of create_namespace is none of the objects: who of several
// applications makes it is known when it is there.
func (p *planning) outputs(all []seen) Outputs {
	o := Outputs{Namespace: p.config.Namespace}
	o.Revision = p.config.Source.Revision
	o.Health = sdk.Unknown[string]()
	if p.config.Wait {
		o.Health = sdk.Known(string(rollout.Worst(nil)))
	}
	for i := range all {
		if !all[i].Added {
			o.add(all[i].ref)
		}
	}
	o.sort()
	return o
}

func (o *Outputs) sort() {
	slices.Sort(o.Items)
	slices.SortFunc(o.Objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func (o *Outputs) add(r cluster.Ref) {
	apiVersion, kind := r.ToAPIVersionAndKind()
	o.Items = append(o.Items, key(r))
	o.Objects = append(o.Objects, Object{APIVersion: apiVersion, Kind: kind, Namespace: r.Namespace, Name: r.Name})
}

// rolloutTargets are the objects to wait for.
func rolloutTargets(refs []cluster.Ref) []rollout.Target {
	targets := make([]rollout.Target, len(refs))
	for i, r := range refs {
		targets[i] = rollout.Target{Ref: r, Key: key(r)}
	}
	return targets
}
