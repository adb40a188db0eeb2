package look

import (
	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// application is the contract of applications: objects that are kept as their source and their images say.
type application struct{ planning }

// deferred implements managed: an application that shows no items yet is planned at apply.
func (application) deferred(c *plan.Change) bool { return len(c.Items) == 0 }

// imageChanges tells for each image that changes in an application what is behind it.
func (r *Planner) imageChanges(p *plan.Plan) []plan.ImageChange {
	var list []plan.ImageChange
	for _, c := range p.Changes {
		for _, use := range c.Images {
			if use.Before == use.After && !use.Unknown {
				continue
			}
			ic := plan.ImageChange{Application: c.Address, Name: use.Name, Before: use.Before, After: use.After, Unknown: use.Unknown}
			a, err := addr.Parse(c.Address)
			if err == nil {
				r.addOrigin(&ic, r.Finding(a))
			}
			list = append(list, ic)
		}
	}
	return list
}

// addOrigin finds the build that makes an image, and the commits that are new in its source.
func (r *Planner) addOrigin(ic *plan.ImageChange, application *Finding) {
	if application == nil {
		return
	}
	r.Tree.Upstream(application.Instance, func(i *world.Instance) {
		up := r.Found.About(i)
		if up.Addr.Kind != kinds.Build || up.Seen == nil || ic.Build != "" {
			return
		}
		if !makes(up, ic.After) {
			return
		}
		ic.Build = up.Addr.String()
		r.Tree.Upstream(i, func(i *world.Instance) {
			source := r.Found.About(i)
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
