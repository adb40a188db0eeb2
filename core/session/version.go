package session

import (
	goversion "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
)

// CheckVersion checks required_version.
func CheckVersion(stack *config.Stack, version string) *hcl.Diagnostic {
	want := stack.Settings.RequiredVersion
	if want == "" {
		return nil
	}
	c, err := goversion.NewConstraint(want)
	if err != nil {
		return diag.Errorf(stack.Settings.VersionRange, "Not a version constraint", "%q: %s.", want, err)
	}
	v, err := goversion.NewVersion(version)
	if err != nil {
		return diag.Plain("This davit has no version", err.Error())
	}
	if !c.Check(v.Core()) {
		return diag.Errorf(stack.Settings.VersionRange, "Wrong version of davit", "The stack requires davit %s, but this is davit %s.", want, version)
	}
	return nil
}
