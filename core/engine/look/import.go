package look

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// importID returns the id of the existing object that an instance takes over, "" if there is none. Two objects for one instance, and one
// object for two instances of a type, are mistakes.
func (r *Planner) importID(in *Finding) (string, hcl.Diagnostics) {
	if len(r.Options.Import) > 0 {
		if id := r.Options.Import[in.Addr.String()]; id != "" {
			return id, nil
		}
	}
	var id string
	var by *config.Import
	for s := in.Node.Scope; s != nil; s = s.Parent {
		for _, i := range s.Module.Imports {
			each, meant, diags := r.Tree.ImportFor(s, i, in.Addr)
			if diags.HasErrors() {
				in.misused = true
				return "", diags
			}
			if !meant {
				continue
			}
			if by != nil {
				in.misused = true
				return "", append(diags, diag.Errorf(by.Range, "Two imports into one instance", "Another object is imported into %s at %s. Remove one of the import blocks.", in.Addr, config.Where(i.Range)))
			}
			by = i
			v, diags := s.Value(i.ID, each)
			if diags.HasErrors() {
				return "", diags
			}
			id = types.Text(v)
			if id == "" || v.IsMarked() {
				return "", append(diags, diag.Errorf(i.ID.Range(), "Not an id", "The id of an import must be a string that is known before apply and not sensitive."))
			}
		}
	}
	if by == nil {
		return "", nil
	}
	if other, first := r.Found.imports(in.Addr, id); !first {
		in.misused = true
		pair := []string{in.Addr.String(), other.String()}
		slices.Sort(pair)
		return "", hcl.Diagnostics{diag.Errorf(by.Range, "Two imports of one object", "The object %q is imported into %s and into %s. Only one instance can own it: remove one of the imports.", id, pair[0], pair[1])}
	}
	return id, nil
}

// importRecord asks a plugin for the record of an existing object.
func (r *Planner) importRecord(ctx context.Context, in *Finding, id string) (*pluginv1.Record, hcl.Diagnostics) {
	t := in.Node.Type
	if !t.CanImport {
		return nil, hcl.Diagnostics{in.Errorf("it cannot be imported", "%s %q of plugin %q cannot import existing objects.", t.Kind, t.Name, t.Plugin)}
	}
	plain, _ := in.Config.UnmarkDeep()
	config, err := eval.EncodeValue(t.PluginConfig(plain))
	if err != nil {
		return nil, hcl.Diagnostics{r.Services.Failure(in.Instance, "importing", err)}
	}
	client, err := r.Services.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return nil, hcl.Diagnostics{r.Services.Failure(in.Instance, "importing", err)}
	}
	res, err := client.Import(ctx, &pluginv1.ImportRequest{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Config: config, Id: id})
	if err != nil {
		return nil, hcl.Diagnostics{r.Services.Failure(in.Instance, "importing "+id, err)}
	}
	diags := r.Services.Diagnostics(in.Instance, res.GetDiagnostics())
	if !diags.HasErrors() && res.GetRecord().GetOutputs() == nil {
		diags = append(diags, r.Services.Failure(in.Instance, "importing "+id, errors.New("the plugin answered without a record: this is a defect in the plugin")))
	}
	return res.GetRecord(), diags
}

// Imported is the record of an existing object in the form of state.
func (r *Planner) Imported(ctx context.Context, in *Finding, id string) (*state.Record, hcl.Diagnostics) {
	got, diags := r.importRecord(ctx, in, id)
	if diags.HasErrors() {
		return nil, diags
	}
	t := in.Node.Type
	rec := &state.Record{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: t.Plugin, Status: state.StatusOK, Private: got.GetPrivate(), DependsOn: r.Tree.ManagedUpstream(in.Instance)}
	outputs, err := r.Services.DecodeOutputs(t, got.GetOutputs())
	if err == nil {
		rec.Outputs, err = types.Encode(outputs)
	}
	config := cty.NilVal
	if err == nil && got.GetConfig() != nil {
		config, err = eval.DecodeValue(got.GetConfig(), t.ConfigType)
	}
	if err == nil && config != cty.NilVal {
		rec.Config, err = types.Encode(r.Services.Secrets.Mark(t.Schema.Mark(config)))
	}
	if err != nil {
		return nil, append(diags, r.Services.Failure(in.Instance, "importing "+id, err))
	}
	return rec, diags
}
