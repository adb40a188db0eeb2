package config

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/kinds"
)

// addCredentials reads a credentials block. No finding is about the line of a secret: messages show the lines that they are about.
func (s *Stack) addCredentials(block *hclsyntax.Block) hcl.Diagnostics {
	kind, known := kinds.FindCredentials(block.Labels[0])
	if !known {
		var names []string
		for _, k := range kinds.AllCredentials() {
			names = append(names, k.Name)
		}
		return hcl.Diagnostics{diag.Errorf(block.LabelRanges[0], "Unknown kind of credentials", "There are no credentials %q. Known kinds: %s.%s",
			block.Labels[0], strings.Join(names, ", "), diag.DidYouMean(block.Labels[0], names))}
	}
	schema := &hcl.BodySchema{}
	for _, a := range kind.Arguments() {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required})
	}
	content, diags := block.Body.Content(schema)
	for _, d := range diags {
		d.Subject = block.DefRange().Ptr()
	}
	c := &Credentials{Kind: kind, Given: map[string]hcl.Expression{}, Range: block.DefRange()}
	for name, a := range content.Attributes {
		c.Given[name] = a.Expr
	}
	diags = append(diags, c.checkSecret()...)
	if !diags.HasErrors() {
		s.Settings.Credentials = append(s.Settings.Credentials, c)
	}
	return diags
}

// checkSecret checks that the secret is given in one way, and not written out in the file.
func (c *Credentials) checkSecret() hcl.Diagnostics {
	secret := c.Kind.Secret
	var ways []string
	for _, name := range []string{secret, secret + kinds.FromFile, secret + kinds.FromEnv} {
		if c.Given[name] != nil {
			ways = append(ways, name)
		}
	}
	const one = "Give one of %[2]s, %[2]s_file and %[2]s_env."
	if len(ways) == 0 {
		return hcl.Diagnostics{diag.Errorf(c.Range, "Credentials without a secret", "credentials %q has no %s. "+one, c.Kind.Name, secret)}
	}
	if len(ways) > 1 {
		return hcl.Diagnostics{diag.Errorf(c.Range, "Two secrets for one host", "credentials %q has %[3]s. "+one, c.Kind.Name, secret, strings.Join(ways, " and "))}
	}
	if t, ok := c.Given[secret].(*hclsyntax.TemplateExpr); ok && t.IsStringLiteral() {
		return hcl.Diagnostics{diag.Errorf(c.Range, "A secret in a file of the stack",
			"The %[2]s of credentials %[1]q is written out, so everybody who can read the stack can read it. Use a sensitive variable, %[2]s_file or %[2]s_env.", c.Kind.Name, secret)}
	}
	return nil
}
