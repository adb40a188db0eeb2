package draft

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/claims"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// settleOwners collects the changes of a plan and compares what its instances own. Two owners of one thing are an error; what changes its
// owner is written into the plan as a transfer. An instance that would take something from one that cannot be planned is left out.
func (d *drafter) settleOwners(ctx context.Context, p *plan.Plan) {
	for {
		d.collect(p)
		if p.Mode == plan.ModeRefresh || !slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Works() }) {
			return
		}
		in := claims.Input{Recorded: map[string][]string{}, Others: d.others.claims, Unknown: append(d.unknownClaims(), d.others.unknown...)}
		for address, rec := range d.records.Snapshot().Records {
			if kinds.IsManaged(rec.Kind) {
				in.Recorded[address] = rec.Claims
			}
		}
		conflicts, held := claims.Settle(p, in)
		if d.leaveOutTakers(ctx, conflicts) {
			continue
		}
		for _, c := range conflicts {
			d.found.Report(d.twoOwners(c))
		}
		for _, h := range held {
			d.found.Report(heldBack(h))
		}
		return
	}
}

// leaveOutTakers leaves out the instances that would take things over from one that cannot be planned, with their dependants: nobody knows
// whether that one gives them up. It returns false if there is none.
func (d *drafter) leaveOutTakers(ctx context.Context, conflicts []claims.Conflict) bool {
	found := false
	for _, c := range conflicts {
		at, err := addr.Parse(c.First)
		if err != nil || !c.Absent || !d.isLeftOut(c.Second) {
			continue
		}
		in := d.planner.Finding(at)
		if in == nil || in.Change == nil || !d.planner.Fail(ctx, in, hcl.Diagnostics{cannotTake(in, c)}) {
			continue
		}
		found = true
		d.planner.InOrder(func(down *look.Finding) {
			d.tree.Upstream(down.Instance, func(up *world.Instance) {
				if up == in.Instance {
					down.Change, down.Observation, down.Seen, down.Checks = nil, nil, nil, nil
				}
			})
		})
	}
	if found {
		d.keepNeeded(ctx)
	}
	return found
}

// isLeftOut tells whether a recorded instance cannot be planned, or is left out for that reason.
func (d *drafter) isLeftOut(address string) bool {
	return slices.ContainsFunc(d.found.Failed(), func(f look.Failure) bool { return f.Address == address }) ||
		slices.ContainsFunc(d.blocked(), func(b blockedInstance) bool { return b.address.String() == address })
}

// cannotTake is the error of an instance that would take something over from one that cannot be planned.
func cannotTake(in *look.Finding, c claims.Conflict) *hcl.Diagnostic {
	things := make([]string, len(c.Claims))
	for i, claim := range c.Claims {
		things[i] = claims.Describe(claim)
	}
	out := in.Errorf("it waits for the owner of what it takes over", "It would take over %s. %s owns that, as the state says, and cannot be planned.", record.FirstFew(things), c.Second)
	out.Extra = diag.Info{Address: c.First, Code: "owner.not_planned"}
	return out
}

// twoOwners is the error of two instances that own one thing.
func (d *drafter) twoOwners(c claims.Conflict) *hcl.Diagnostic {
	things := make([]string, len(c.Claims))
	for i, claim := range c.Claims {
		things[i] = claims.Describe(claim)
	}
	detail := fmt.Sprintf("%s and %s both own %s. ", c.First, c.Second, record.FirstFew(things))
	hint := "Change one of the two blocks, so that each thing has one owner."
	if c.Absent {
		detail = fmt.Sprintf("%s owns %s, as state says, and it is not a part of this plan; %s would take it over. ", c.Second, record.FirstFew(things), c.First)
		hint = "Plan both together, without -target and -exclude."
	}
	out := diag.Plain(c.First+": two owners of one thing", strings.TrimSpace(detail))
	if at, err := addr.Parse(c.First); err == nil {
		if b := d.input.Declared(at.Node); b != nil {
			out.Subject = b.Range.Ptr()
		}
	}
	out.Extra = diag.Info{Address: c.First, Code: "owner.conflict", Hint: hint}
	return out
}

// heldBack is the warning of a deletion that is left out of the plan.
func heldBack(h claims.HeldBack) *hcl.Diagnostic {
	detail := fmt.Sprintf("%s is not a part of this plan and could not be planned, so that nobody knows whether it takes something over.", h.For)
	if len(h.Claims) > 0 {
		things := make([]string, len(h.Claims))
		for i, claim := range h.Claims {
			things[i] = claims.Describe(claim)
		}
		detail = fmt.Sprintf("%s takes over %s, and it is not a part of this plan.", h.For, record.FirstFew(things))
	}
	d := diag.Plain(h.Address+": it is not deleted yet", detail)
	d.Severity = hcl.DiagWarning
	d.Extra = diag.Info{Address: h.Address, Code: "owner.held_back", Hint: "Plan both together, without -target and -exclude."}
	return d
}

// others is what is known of the claims of instances that a plan leaves out.
type others struct {
	claims  map[string][]string
	unknown []claims.Unknown
}

// lookAtOthers plans the instances that the plan leaves out, quietly and only for what they claim, when the plan deletes things that
// one of them may want.
func (d *drafter) lookAtOthers(ctx context.Context) {
	if len(d.opts.Targets)+len(d.opts.Excludes)+len(d.found.LeftOut()) == 0 || !slices.ContainsFunc(d.deleted, func(in *look.Finding) bool { return d.hasClaims(in.Addr) }) && !d.givesUp() {
		return
	}
	quiet := look.NewPlanner(d.input, d.forms, d.svc.Quiet(), d.records, input.Options{Mode: plan.ModeApply, NoRefresh: d.opts.NoRefresh})
	quiet.Moved = d.planner.Moved
	quiet.Tree.Walk(ctx, world.WalkOptions{Parallel: d.input.Looks(), Targets: quiet.Options.Wants, Report: quiet.Found.Report},
		func(ctx context.Context, in *world.Instance) graph.Outcome {
			return quiet.PlanInstance(ctx, quiet.Found.About(in))
		})
	d.others.claims = map[string][]string{}
	quiet.InOrder(func(in *look.Finding) {
		address := in.Addr.String()
		if own := d.planner.Finding(in.Addr); !kinds.IsManaged(in.Addr.Kind) || own != nil && own.Change != nil {
			return
		}
		_, recorded := d.records.Record(address)
		switch {
		case in.Change != nil:
			d.others.claims[address] = in.Change.Claims
		case !recorded:
			d.others.unknown = append(d.others.unknown, claims.Unknown{Address: address, Kind: in.Addr.Kind, Type: in.Addr.Type})
		}
	})
}

func (d *drafter) hasClaims(a addr.Instance) bool {
	return len(d.records.Snapshot().Records[a.String()].Claims) > 0
}

// givesUp tells whether an instance of the plan that stays has claims in state that it does not make any more, or takes some that it had
// not.
func (d *drafter) givesUp() bool {
	found := false
	d.planner.InOrder(func(in *look.Finding) {
		if in.Change == nil || found {
			return
		}
		was := d.records.Snapshot().Records[in.Addr.String()].Claims
		found = !maps.Equal(setOf(was), setOf(in.Change.Claims))
	})
	return found
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// unknownClaims returns the instances that were never applied and cannot be planned. What they would own is not known: deletions of
// their type are held back.
func (d *drafter) unknownClaims() []claims.Unknown {
	var list []claims.Unknown
	add := func(i addr.Instance, address string) {
		if _, recorded := d.records.Record(i.String()); !recorded && kinds.IsManaged(i.Kind) {
			list = append(list, claims.Unknown{Address: address, Kind: i.Kind, Type: i.Type})
		}
	}
	for _, f := range d.found.Failed() {
		if !f.Place.IsModule() {
			add(f.Place.Instance, f.Address)
		}
	}
	for _, b := range d.blocked() {
		add(b.address, b.address.String())
	}
	return list
}
