package draft

import (
	"strings"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// imageChanges tells for each image that changes in an application what is behind it.
func (d *drafter) imageChanges(p *plan.Plan) []plan.ImageChange {
	var list []plan.ImageChange
	for _, c := range p.Changes {
		for _, use := range c.Images {
			if use.Before == use.After && !use.Unknown {
				continue
			}
			ic := plan.ImageChange{Application: c.Address, Name: use.Name, Before: use.Before, After: use.After, Unknown: use.Unknown}
			a, err := addr.Parse(c.Address)
			if err == nil {
				d.addOrigin(&ic, d.planner.Finding(a))
			}
			list = append(list, ic)
		}
	}
	return list
}

// addOrigin finds the build that makes an image, and the commits that are new in its source.
func (d *drafter) addOrigin(ic *plan.ImageChange, application *look.Finding) {
	if application == nil {
		return
	}
	d.tree.Upstream(application.Instance, func(i *world.Instance) {
		up := d.found.About(i)
		if up.Addr.Kind != kinds.Build || up.Seen == nil || ic.Build != "" {
			return
		}
		if !makes(up, ic.After) {
			return
		}
		ic.Build = up.Addr.String()
		d.tree.Upstream(i, func(i *world.Instance) {
			source := d.found.About(i)
			if source.Addr.Kind == kinds.Source && ic.Source == "" && source.Observation != nil {
				ic.Source = source.Addr.String()
				ic.From, ic.To = revisionOf(source.Observation.Before), revisionOf(&source.Observation.Outputs)
				for _, i := range source.Observation.Items {
					ic.Commits = append(ic.Commits, plan.Commit{ID: i.Name, Subject: i.Note})
				}
			}
		})
	})
}

// makes tells whether an image reference is what a build pushes.
func makes(up *look.Finding, reference string) bool {
	name := types.Text(up.Output("repository")) + ":" + types.Text(up.Output("tag"))
	rest, ok := strings.CutPrefix(reference, name)
	return name != ":" && ok && (rest == "" || rest[0] == '@')
}

func revisionOf(v *plan.Value) string {
	if v == nil {
		return ""
	}
	c, err := v.Cty()
	if err != nil || !c.Type().IsObjectType() || !c.Type().HasAttribute("revision") {
		return ""
	}
	return types.Text(c.GetAttr("revision"))
}
