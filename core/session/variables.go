package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

// givenVariables reads values of variables from the environment, files and flags, or from a saved plan; later ones win.
func givenVariables(stack *config.Stack, o *Options, environ []string) ([]eval.Given, hcl.Diagnostics) {
	around, diags := variablesAround(o.Dir, environ)
	asked, more := o.variables()
	diags = append(diags, more...)
	if o.Reviewed == nil {
		return append(around, asked...), diags
	}
	list, more := reviewedVariables(stack, o.Reviewed, around, asked)
	return list, append(diags, more...)
}

// variablesAround are the values of the environment and of *.auto.hclvars.
func variablesAround(dir string, environ []string) ([]eval.Given, hcl.Diagnostics) {
	var list []eval.Given
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if v, ok := strings.CutPrefix(name, "DAVIT_VAR_"); ok {
			list = append(list, eval.Given{Name: v, Text: &value, From: name, Stray: true})
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.auto.hclvars"))
	slices.Sort(files)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	given, diags := variableFiles(dir, files)
	return append(list, given...), diags
}

// variableFiles reads files with values of variables. Their names are relative to dir.
func variableFiles(dir string, files []string) ([]eval.Given, hcl.Diagnostics) {
	var list []eval.Given
	var diags hcl.Diagnostics
	for _, file := range files {
		src, err := os.ReadFile(Absolute(dir, file))
		if err != nil {
			if named, ok := errors.AsType[*fs.PathError](err); ok {
				named.Path = file // as the person has written it
			}
			diags = append(diags, diag.Plain("A file with variables cannot be read", err.Error()))
			continue
		}
		given, more := eval.ReadVarFile(file, src)
		list, diags = append(list, given...), append(diags, more...)
	}
	return list, diags
}

// variables are the values that the person gives.
func (o *Options) variables() ([]eval.Given, hcl.Diagnostics) {
	list, diags := variableFiles(o.Dir, o.VarFiles)
	for _, v := range o.Vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			diags = append(diags, diag.Plain("Not a variable", "-var wants name=value."))
			continue
		}
		list = append(list, eval.Given{Name: name, Text: &value, From: "-var"})
	}
	return list, diags
}

// reviewedVariables are the values that a saved plan was made with. Those of sensitive variables are not in it, and are taken from where
// they are now; that they are the same is seen later, by their fingerprints.
func reviewedVariables(stack *config.Stack, p *plan.Plan, around, asked []eval.Given) ([]eval.Given, hcl.Diagnostics) {
	var list []eval.Given
	var diags hcl.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		value, err := variableOf(p.Variables[name])
		if err != nil {
			diags = append(diags, diag.Plain("The plan cannot be applied", fmt.Sprintf("The plan's value of variable %q cannot be read: %s", name, err)))
			continue
		}
		list = append(list, eval.Given{Name: name, Expr: hcl.StaticExpr(value, hcl.Range{}), From: "the plan"})
	}
	sensitive := func(g eval.Given) bool { v := stack.Variables[g.Name]; return v != nil && v.Sensitive }
	for _, g := range around {
		if sensitive(g) {
			list = append(list, g)
		}
	}
	for _, g := range asked {
		if !sensitive(g) {
			diags = append(diags, diag.Plain("A saved plan has its values of variables", fmt.Sprintf(
				"%s gives a value for %q, and the plan is applied as it was reviewed, with the values that it was made with. Only sensitive variables are given again. Leave it out, or plan again.", g.From, g.Name)))
			continue
		}
		list = append(list, g)
	}
	return list, diags
}

// variableOf reads a value as a plan has it. Its type is that of JSON: it is made one of the variable's as any other value that is given.
func variableOf(raw json.RawMessage) (cty.Value, error) {
	t, err := ctyjson.ImpliedType(raw)
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal(raw, t)
}
