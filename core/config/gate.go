package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/schedule"
)

// Gate is a gate block: what must hold before a change is applied without a person.
type Gate struct {
	Name string
	On   []addr.Place // blocks, instances, modules; empty: everything
	// Approve are the causes of changes that wait for a person.
	Approve []plan.Cause
	// Windows is when changes may begin.
	Windows schedule.Calendar
	// MaxDeletions is how many things one plan may delete without a person; -1: any number.
	MaxDeletions int
	Soak         *Soak // nil: none
	Range        hcl.Range
}

// Soak says that changes wait until an application has been healthy for some time.
type Soak struct {
	After      addr.Place
	HealthyFor time.Duration
	Range      hcl.Range
}

// Matches tells whether the gate is about an instance.
func (g *Gate) Matches(i addr.Instance) bool {
	return len(g.On) == 0 || slices.ContainsFunc(g.On, func(p addr.Place) bool { return p.Matches(i) })
}

var (
	gateSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "on"}, {Name: "approve"}, {Name: "max_deletions"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "window"}, {Type: "soak"}},
	}
	windowSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "schedule", Required: true}, {Name: "time_zone"}, {Name: "deny"}}}
	soakSchema   = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "after", Required: true}, {Name: "healthy_for", Required: true}}}
)

func (s *Stack) addGate(block *hclsyntax.Block) hcl.Diagnostics {
	name := block.Labels[0]
	if !hclsyntax.ValidIdentifier(name) {
		return hcl.Diagnostics{diag.Errorf(block.LabelRanges[0], "Not a name", "%q is not a name: use letters, digits, _ and -, and begin with a letter.", name)}
	}
	if i := slices.IndexFunc(s.Gates, func(g *Gate) bool { return g.Name == name }); i >= 0 {
		return duplicate("gate "+name, block.DefRange(), s.Gates[i].Range)
	}
	content, diags := block.Body.Content(gateSchema)
	g := &Gate{Name: name, MaxDeletions: -1, Range: block.DefRange()}
	s.Gates = append(s.Gates, g)
	diags = append(diags, g.addOn(content.Attributes["on"])...)
	diags = append(diags, g.addApprove(content.Attributes["approve"])...)
	diags = append(diags, g.addMaxDeletions(content.Attributes["max_deletions"])...)
	for _, b := range content.Blocks {
		if b.Type == "window" {
			diags = append(diags, g.addWindow(b)...)
			continue
		}
		if g.Soak != nil {
			diags = append(diags, duplicate("the soak of gate "+name, b.DefRange, g.Soak.Range)...)
			continue
		}
		diags = append(diags, g.addSoak(b)...)
	}
	if diags.HasErrors() {
		return diags
	}
	if len(g.Approve) == 0 && len(g.Windows.Allow)+len(g.Windows.Deny) == 0 && g.MaxDeletions < 0 && g.Soak == nil {
		return append(diags, diag.Errorf(block.DefRange(), "Gate that holds nothing", "gate %q has no condition. Add approve, window, max_deletions or soak.", name))
	}
	if g.Soak != nil && len(g.On) == 0 {
		diags = append(diags, diag.Errorf(g.Soak.Range, "Soak of everything", "gate %q has a soak and no on: %s, and what it needs, would wait for itself. Say in on what waits.", name, g.Soak.After))
	}
	if g.Windows.Never() {
		diags = append(diags, diag.Errorf(block.DefRange(), "Windows that never open", "The windows of gate %q leave no time in a week at which a change may begin. Change one of them.", name))
	}
	return diags
}

func (g *Gate) addOn(a *hcl.Attribute) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	list, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		return hcl.Diagnostics{diag.Errorf(a.Expr.Range(), "Not a list of addresses", "on of a gate is a list of blocks, instances and modules, such as [application.kubernetes.shop[\"prod\"]].")}
	}
	for _, e := range list {
		p, more := gatePlace(e)
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		if !p.IsModule() && !kinds.IsManaged(p.Kind) {
			diags = append(diags, diag.Errorf(e.Range(), "Nothing to hold", "%s is only observed: a gate holds changes of builds and applications.", p))
			continue
		}
		g.On = append(g.On, p)
	}
	if len(list) == 0 {
		diags = append(diags, diag.Errorf(a.Expr.Range(), "Gate on nothing", "on of gate %q is an empty list. Without on the gate is on everything.", g.Name))
	}
	return diags
}

// gatePlace reads an address in a gate.
func gatePlace(e hcl.Expression) (addr.Place, hcl.Diagnostics) {
	t, diags := hcl.AbsTraversalForExpr(e)
	if !diags.HasErrors() {
		if p, err := addr.FromTraversal(t); err == nil {
			return p, nil
		}
	}
	return addr.Place{}, hcl.Diagnostics{diag.Errorf(e.Range(), "Not an address", "A gate names a block (application.kubernetes.shop), an instance of one (application.kubernetes.shop[\"prod\"]) or a module (module.shop).")}
}

func (g *Gate) addApprove(a *hcl.Attribute) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	if hcl.ExprAsKeyword(a.Expr) == "all" {
		g.Approve = plan.Causes()
		return nil
	}
	var names []string
	if diags := literal(a, &names); diags.HasErrors() {
		return hcl.Diagnostics{diag.Errorf(a.Expr.Range(), "Not a list of causes", "approve of a gate is a list of causes, such as [\"image\", \"removed\"], or all.")}
	}
	all := causeNames()
	var diags hcl.Diagnostics
	for _, name := range names {
		if !plan.Cause(name).Valid() {
			diags = append(diags, diag.Errorf(a.Expr.Range(), "Unknown cause", "The cause %q does not exist.%s Causes: %s.", name, diag.DidYouMean(name, slices.Clone(all)), strings.Join(all, ", ")))
			continue
		}
		if !slices.Contains(g.Approve, plan.Cause(name)) {
			g.Approve = append(g.Approve, plan.Cause(name))
		}
	}
	return diags
}

func causeNames() []string {
	var all []string
	for _, c := range plan.Causes() {
		all = append(all, string(c))
	}
	return all
}

func (g *Gate) addMaxDeletions(a *hcl.Attribute) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	diags := literal(a, &g.MaxDeletions)
	if !diags.HasErrors() && g.MaxDeletions < 0 {
		diags = append(diags, diag.Errorf(a.Expr.Range(), "Not a number of deletions", "max_deletions is %d. Use 0 or more.", g.MaxDeletions))
	}
	return diags
}

func (g *Gate) addWindow(b *hcl.Block) hcl.Diagnostics {
	c, diags := b.Body.Content(windowSchema)
	var text, zone string
	var deny bool
	diags = append(diags, literal(c.Attributes["schedule"], &text)...)
	diags = append(diags, literal(c.Attributes["time_zone"], &zone)...)
	diags = append(diags, literal(c.Attributes["deny"], &deny)...)
	if diags.HasErrors() {
		return diags
	}
	w, err := schedule.Parse(text, zone)
	if err != nil {
		return append(diags, diag.Errorf(b.DefRange, "Window that cannot be read", "gate %q: %s.", g.Name, err))
	}
	if deny {
		g.Windows.Deny = append(g.Windows.Deny, w)
	} else {
		g.Windows.Allow = append(g.Windows.Allow, w)
	}
	return diags
}

func (g *Gate) addSoak(b *hcl.Block) hcl.Diagnostics {
	c, diags := b.Body.Content(soakSchema)
	if diags.HasErrors() {
		return diags
	}
	s := &Soak{Range: b.DefRange}
	g.Soak = s
	var more hcl.Diagnostics
	if s.After, more = gatePlace(c.Attributes["after"].Expr); more.HasErrors() {
		return append(diags, more...)
	}
	if s.After.Kind != kinds.Application {
		return append(diags, diag.Errorf(c.Attributes["after"].Range, "Not an application", "%s has no health. after of a soak names an application.", s.After))
	}
	if slices.ContainsFunc(g.On, func(p addr.Place) bool { return p.Matches(s.After.Instance) && (p.AllKeys || !s.After.AllKeys) }) {
		return append(diags, diag.Errorf(c.Attributes["after"].Range, "Gate that waits for itself", "gate %q is on %s as well, which would wait for itself.", g.Name, s.After))
	}
	var text string
	if more := literal(c.Attributes["healthy_for"], &text); more.HasErrors() {
		return append(diags, more...)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return append(diags, diag.Errorf(c.Attributes["healthy_for"].Range, "Not a duration", "healthy_for is %q. Use a duration such as 30m or 24h.", text))
	}
	s.HealthyFor = d
	return diags
}
