package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Failure makes a diagnostic of an error that is not the configuration's fault.
func (s *Services) Failure(in *world.Instance, doing string, err error) *hcl.Diagnostic {
	d := diag.Plain(fmt.Sprintf("%s: %s failed", in.Addr, doing), s.Secrets.Mask(err.Error()))
	info := diag.Info{Address: in.Addr.String()}
	var hinted interface{ HintText() string }
	if errors.As(err, &hinted) {
		info.Hint = hinted.HintText()
	}
	if errors.Is(err, context.Canceled) {
		d.Detail, info.Code = "The run was stopped.", "cancelled"
	}
	d.Extra = info
	if in.Node != nil && in.Node.Block != nil {
		d.Subject = in.Node.Block.Range.Ptr()
	}
	return d
}

// Diagnostics turns a plugin's findings into ones with a place in the files.
func (s *Services) Diagnostics(in *world.Instance, list []*pluginv1.Diagnostic) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range list {
		out := &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  s.Secrets.Mask(d.GetSummary()),
			Detail:   s.Secrets.Mask(d.GetDetail()),
			Extra:    diag.Info{Address: in.Addr.String(), Code: d.GetCode(), Hint: s.Secrets.Mask(d.GetHint())},
		}
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			out.Severity = hcl.DiagWarning
		}
		if in.Node != nil && in.Node.Block != nil {
			path := pathOf(d.GetPath())
			place, shared := in.Node.Place(path)
			if shared { // the line alone does not tell which value is meant
				out.Summary = s.Secrets.Mask(plan.PathString(path)) + ": " + out.Summary
			}
			out.Subject = &place
		}
		out.Summary = in.Addr.String() + ": " + out.Summary
		diags = append(diags, out)
	}
	return diags
}

// pathOf is a plugin's path, as far as it has steps that there are.
func pathOf(path []*pluginv1.PathStep) cty.Path {
	var p cty.Path
	for _, step := range path {
		switch s := step.GetStep().(type) {
		case *pluginv1.PathStep_Attribute:
			p = p.GetAttr(s.Attribute)
		case *pluginv1.PathStep_Key:
			p = p.IndexString(s.Key)
		case *pluginv1.PathStep_Index:
			p = p.Index(cty.NumberIntVal(s.Index))
		default:
			return p
		}
	}
	return p
}
