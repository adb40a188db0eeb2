package look

import (
	"context"
	"errors"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// importID is the existing object that an instance takes over, or nothing.
func (r *Planner) importID(in *Finding) (string, hcl.Diagnostics) {
	if id := r.opts.Import[in.Addr.String()]; id != "" {
		return id, nil
	}
	for s := in.Node.Scope; s != nil; s = s.Parent {
		for _, i := range s.Module.Imports {
			each, meant, diags := r.importFor(s, i, in.Addr)
			if diags.HasErrors() {
				return "", diags
			}
			if !meant {
				continue
			}
			v, diags := s.Value(i.ID, each)
			if diags.HasErrors() {
				return "", diags
			}
			id := types.Text(v)
			if id == "" || v.IsMarked() {
				return "", append(diags, diag.Errorf(i.ID.Range(), "Not an id", "id of an import is a string that is known now, and not sensitive."))
			}
			return id, diags
		}
	}
	return "", nil
}

// importFor tells whether an import block of a module instance is about an instance, and for which of its objects.
func (r *Planner) importFor(s *eval.Scope, i *config.Import, in addr.Instance) (eval.Each, bool, hcl.Diagnostics) {
	place := input.Within(s.Path, i.To)
	if i.Key == nil || !place.Matches(in) {
		return eval.Each{}, place.Matches(in), nil
	}
	expand, _ := r.imports.LoadOrStore(importKey{s, i}, sync.OnceValues(func() (map[addr.Key]eval.Each, hcl.Diagnostics) { return importKeys(s, i) }))
	keys, diags := expand.(func() (map[addr.Key]eval.Each, hcl.Diagnostics))()
	each, meant := keys[in.Key]
	return each, meant, diags
}

type importKey struct {
	scope *eval.Scope
	block *config.Import
}

// importKeys are the instances that an import is into, each with what it sees.
func importKeys(s *eval.Scope, i *config.Import) (map[addr.Key]eval.Each, hcl.Diagnostics) {
	list, diags := s.Expand("an import", i.ForEach, nil)
	keys := make(map[addr.Key]eval.Each, len(list))
	for _, each := range list {
		v, more := s.Value(i.Key, each)
		diags = append(diags, more...)
		if more.HasErrors() {
			return nil, diags
		}
		key, ok := addr.KeyFromValue(v)
		if !ok || v.IsMarked() {
			return nil, append(diags, diag.Errorf(i.Key.Range(), "Not a key", "The key of an instance is a text or a whole number that is known now, and not sensitive."))
		}
		keys[key] = each
	}
	return keys, diags
}

// importRecord asks a plugin for the record of an existing object.
func (r *Planner) importRecord(ctx context.Context, in *Finding, id string) (*pluginv1.Record, hcl.Diagnostics) {
	t := in.Node.Type
	if !t.CanImport {
		return nil, hcl.Diagnostics{in.Errorf("it cannot be imported", "%s %q of plugin %q does not know how to take over an object that exists. An apply finds what is there if its name does not change.", t.Kind, t.Name, t.Plugin)}
	}
	plain, _ := in.Config.UnmarkDeep()
	config, err := eval.EncodeValue(t.PluginConfig(plain))
	if err != nil {
		return nil, hcl.Diagnostics{r.svc.Failure(in.Instance, "importing", err)}
	}
	client, err := r.svc.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return nil, hcl.Diagnostics{r.svc.Failure(in.Instance, "importing", err)}
	}
	res, err := client.Import(ctx, &pluginv1.ImportRequest{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Config: config, Id: id})
	if err != nil {
		return nil, hcl.Diagnostics{r.svc.Failure(in.Instance, "importing "+id, err)}
	}
	diags := r.svc.Diagnostics(in.Instance, res.GetDiagnostics())
	if !diags.HasErrors() && res.GetRecord().GetOutputs() == nil {
		diags = append(diags, r.svc.Failure(in.Instance, "importing "+id, errors.New("the plugin answered without a record: this is a defect of the plugin")))
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
	outputs, err := r.svc.DecodeOutputs(t, got.GetOutputs())
	if err == nil {
		rec.Outputs, err = types.Encode(outputs)
	}
	config := cty.NilVal
	if err == nil && got.GetConfig() != nil {
		config, err = eval.DecodeValue(got.GetConfig(), t.ConfigType)
	}
	if err == nil && config != cty.NilVal {
		rec.Config, err = types.Encode(r.svc.Secrets.Mark(t.Schema.Mark(config)))
	}
	if err != nil {
		return nil, append(diags, r.svc.Failure(in.Instance, "importing "+id, err))
	}
	return rec, diags
}
