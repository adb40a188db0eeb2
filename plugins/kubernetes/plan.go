package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
	"github.com/davit-sh/davit/sdk"
)

// planned is what a plan pins for its apply.
type planned struct {
	Digest  string            `json:"digest"`            // of the rendered objects, without images and secrets
	Deletes []deletion        `json:"deletes,omitempty"` // in this order
	Taken   map[string]string `json:"taken,omitempty"`   // objects of other stacks that are taken: key -> lineage
}

// planning is what planning and applying one instance share.
type planning struct {
	address   string
	config    Config
	prior     *sdk.Record[Config, Outputs] // nil when state knows nothing of the application
	cluster   *cluster.Cluster
	hub       *drift.Hub
	clusterID string // for claims
	owner     owner
	set       *render.Set
	inventory inventory
	origin    origin   // of changes in the rendered objects
	before    *planned // of the reviewed plan; nil at first
}

// begin connects and renders. checkpoint is what an earlier try has saved, nil when there was none.
func (a *Application) begin(ctx context.Context, address string, config Config, prior *sdk.Record[Config, Outputs], checkpoint, private []byte) (*planning, error) {
	if config.Namespace == "" {
		config.Namespace = "default"
	}
	p := &planning{address: address, config: config, prior: prior}
	if checkpoint == nil && prior != nil {
		checkpoint = prior.Private
	}
	var err error
	if p.inventory, err = decodeInventory(checkpoint); err != nil {
		return nil, err
	}
	if len(private) > 0 {
		p.before = &planned{}
		if err := json.Unmarshal(private, p.before); err != nil {
			return nil, fmt.Errorf("the application's part of the plan cannot be read: %w", err)
		}
	}
	connected, clusterID, err := a.reach(ctx, config)
	if err != nil {
		return nil, err
	}
	p.cluster, p.hub, p.clusterID = connected.Cluster, connected.hub, clusterID
	p.owner = ownerAt(ctx, address, p.inventory)
	if p.set, err = config.render(ctx, address, scope(p.cluster)); err != nil {
		return nil, p.explainEmpty(err)
	}
	for _, o := range p.set.Objects {
		p.owner.put(o.Unstructured)
	}
	return p, nil
}

// render renders the folder; without a namespace, objects go to the default one.
func (c Config) render(ctx context.Context, address string, s render.Scope) (*render.Set, error) {
	if c.Namespace == "" {
		c.Namespace = "default"
	}
	return c.Render(ctx, address, s)
}

// reach connects to the cluster and finds out which one it is.
func (a *Application) reach(ctx context.Context, config Config) (connection, string, error) {
	c, err := a.connect(ctx, config)
	if err != nil {
		return c, "", err
	}
	clusterID, err := c.ID(ctx)
	if err != nil {
		return c, "", c.Explain(err, "identify", "the cluster")
	}
	if clusterID == "" {
		clusterID = c.Server // who may not read it names the cluster by its address
	}
	return c, clusterID, nil
}

// ownerAt is the application at an address of the stack that a call is for. The stack keeps the name that its objects were
// marked with first: the name of its folder may be another one on another machine.
func ownerAt(ctx context.Context, address string, v inventory) owner {
	host := sdk.HostOf(ctx)
	o := owner{mark: mark{address, host.StackName, host.Lineage}, former: []string{v.Owner}}
	if v.Lineage == host.Lineage && v.Stack != "" {
		o.Stack = v.Stack
	}
	return o
}

// explainEmpty adds to the error about an empty folder what would be deleted.
func (p *planning) explainEmpty(err error) error {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok || e.Code != render.CodeEmpty || len(p.inventory.Entries) == 0 {
		return err
	}
	var names []string
	for _, e := range p.inventory.Entries {
		names = append(names, e.ref().Short())
	}
	e.Detail = fmt.Sprintf("The application has %s in the cluster. All of them would be deleted: %s.", count(len(names), "object"), some(names))
	return e
}

// Plan compares the rendered folder with the cluster.
func (a *Application) Plan(ctx context.Context, r sdk.PlanRequest[Config, Outputs]) (sdk.PlanResult[Outputs], error) {
	if r.Destroy {
		return a.planDestroy(ctx, r)
	}
	p, err := a.begin(ctx, r.Address, r.Config, r.Prior, nil, r.Private)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	p.origin = p.originOf(ctx)
	all, err := p.look(ctx)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	slices.SortStableFunc(all, func(a, b seen) int { return later(a.ref.GroupKind(), b.ref.GroupKind()) })
	deletes, stay, err := p.deletions(ctx)
	if err != nil {
		return sdk.PlanResult[Outputs]{}, err
	}
	return p.result(ctx, all, deletes, stay)
}

func (p *planning) result(ctx context.Context, all []seen, deletes []deletion, stay []kept) (sdk.PlanResult[Outputs], error) {
	prior := p.prior
	result := sdk.PlanResult[Outputs]{Outputs: p.outputs(all), Claims: claimsOf(p.clusterID, p.set.Objects), Images: p.images(all)}
	pins := planned{Digest: p.set.Digest, Deletes: deletes, Taken: map[string]string{}}
	adopted := true
	for i := range all {
		s := &all[i]
		if s.leave {
			continue
		}
		if item, reasons := p.item(s); item != nil {
			item.Claim = p.claim(s.Object)
			result.Items = append(result.Items, *item)
			result.Reasons = append(result.Reasons, reasons...)
			result.Causes = append(result.Causes, item.Causes...)
			adopted = adopted && item.Action == sdk.ActionAdopt
			if s.of == foreign {
				pins.Taken[key(s.ref)] = markIn(s.live.GetAnnotations()).Lineage
			}
		}
	}
	for _, d := range deletes {
		item := deleted(d, d.note())
		item.Causes, item.Claim = p.origin.causes, claimOf(p.clusterID, d.Object.ref())
		result.Items = append(result.Items, item)
		result.Reasons = append(result.Reasons, fmt.Sprintf("%s is no longer in the manifests", d.Object.ref().Short()))
		result.Causes = append(result.Causes, item.Causes...)
	}
	result.Private, _ = json.Marshal(pins) // strings only
	switch {
	case prior == nil && len(result.Items) == 0:
		result.Action, result.Reasons = sdk.ActionAdopt, []string{"all objects exist already as configured"}
	case prior == nil && adopted:
		result.Action = sdk.ActionAdopt
	case prior == nil:
		result.Action = sdk.ActionCreate
	case len(result.Items) > 0:
		result.Action = sdk.ActionUpdate
		p.explainCauses(&result)
	case p.config.Wait && prior.Outputs.Health.OrZero() != "Current":
		result.Action, result.Causes = sdk.ActionUpdate, []sdk.Cause{sdk.CauseRetry}
		result.Reasons = []string{fmt.Sprintf("the last apply ended with health %q; apply waits for it again", healthOf(prior))}
	default:
		result.Action, result.Outputs, result.Private, result.Causes = sdk.ActionNone, prior.Outputs, prior.Private, nil
		result.Reasons = nil
		return result, ctx.Err()
	}
	if prior == nil {
		result.Causes = append([]sdk.Cause{sdk.CauseNew}, result.Causes...)
	}
	for _, k := range stay {
		result.Items = append(result.Items, k.stays())
		result.Reasons = append(result.Reasons, k.reason())
	}
	return result, ctx.Err()
}

// claim is the claim on a rendered object, "" for one of create_namespace.
func (p *planning) claim(o render.Object) sdk.Claim {
	if o.Added {
		return ""
	}
	return claimOf(p.clusterID, cluster.RefOf(o.Unstructured))
}

func healthOf(prior *sdk.Record[Config, Outputs]) string {
	if h, known := prior.Outputs.Health.Get(); known {
		return h
	}
	return "Unknown"
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
		item.Action, item.Causes = sdk.ActionCreate, p.origin.causes
		if known != nil && known.UID != "" && s.pending == "" {
			item.Causes = []sdk.Cause{sdk.CauseDrift}
			reasons = append(reasons, s.ref.Short()+" was deleted outside of davit")
		}
	case len(s.replace) > 0:
		item.Action, item.Causes = sdk.ActionReplace, p.causesOf(s, known)
		item.Note = "deleted and recreated: " + strings.Join(s.replace, ", ") + " cannot be changed in place"
	case len(s.changes) == 0 && !s.claims:
		return nil, nil
	case s.of == foreign:
		item.Action, item.Causes = sdk.ActionAdopt, []sdk.Cause{sdk.CauseMoved}
		item.Note = fmt.Sprintf("TAKEN from %s", markIn(s.live.GetAnnotations()))
		reasons = append(reasons, fmt.Sprintf("%s is taken from %s", s.ref.Short(), markIn(s.live.GetAnnotations())))
	case s.of == sibling:
		item.Action, item.Causes = sdk.ActionAdopt, []sdk.Cause{sdk.CauseMoved}
		item.Note = "moves here from " + markIn(s.live.GetAnnotations()).Application
		reasons = append(reasons, fmt.Sprintf("%s moves here from %s", s.ref.Short(), markIn(s.live.GetAnnotations()).Application))
	case known == nil:
		item.Action, item.Causes = sdk.ActionAdopt, p.origin.causes
		item.Note = "exists already; davit takes it over"
		if m := markIn(s.live.GetAnnotations()); s.of == own && !p.owner.sure(s.live.GetAnnotations()) {
			item.Note = fmt.Sprintf("exists already, marked by %s of an unknown stack; davit takes it over", m.Application)
		}
	default:
		item.Action, item.Causes = sdk.ActionUpdate, p.causesOf(s, known)
		reasons = p.drift(s, known)
		if len(s.changes) == 0 {
			item.Note = "no value changes; davit becomes the manager of its fields"
		}
	}
	item.Note = strings.Trim(item.Note+"; "+more, "; ")
	return item, reasons
}

// drift says who changed an object that davit would not have changed by itself, and from whom fields are taken.
func (p *planning) drift(s *seen, known *entry) []string {
	owners := diff.Owners(s.live, s.changes)
	switch {
	case len(s.changes) == 0 || onlyMarks(s.changes):
		return nil
	case known == nil || known.Hash != hashOf(s.Object):
		if len(owners) > 0 {
			return []string{fmt.Sprintf("%s: takes over fields that %s changed", s.ref.Short(), strings.Join(owners, ", "))}
		}
		return nil
	case len(owners) > 0:
		return []string{fmt.Sprintf("%s was changed by %s", s.ref.Short(), strings.Join(owners, ", "))}
	case (render.IsSecret(s.Unstructured) || s.Sensitive != nil) && p.valuesMayDiffer():
		return nil // the hash does not tell: it has no sensitive values
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
			if before[c.Name] == c.Image || s.Hides(c.Image) {
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
