package engine

import (
	"context"
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// importID is the existing object that an instance takes over, or nothing.
func (r *run) importID(in *instance) (string, hcl.Diagnostics) {
	if id := r.opts.Import[in.addr.String()]; id != "" {
		return id, nil
	}
	for s := in.node.scope; s != nil; s = s.Parent {
		for _, i := range s.Module.Imports {
			if !within(s.Path, i.To).Matches(in.addr) {
				continue
			}
			v, diags := s.Value(i.ID, eval.Each{})
			if diags.HasErrors() {
				return "", diags
			}
			id := stringOf(v)
			if id == "" || v.IsMarked() {
				return "", append(diags, diag.Errorf(i.ID.Range(), "Not an id", "id of an import is a string that is known now, and not sensitive."))
			}
			return id, diags
		}
	}
	return "", nil
}

// importRecord asks a plugin for the record of an existing object.
func (r *run) importRecord(ctx context.Context, in *instance, id string) (*pluginv1.Record, hcl.Diagnostics) {
	t := in.node.typ
	if !t.canImport {
		return nil, hcl.Diagnostics{in.errorf("it cannot be imported", "%s %q of plugin %q does not know how to take over an object that exists. An apply finds what is there if its name does not change.", t.kind, t.name, t.plugin)}
	}
	plain, _ := in.config.UnmarkDeep()
	config, err := eval.EncodeValue(t.pluginConfig(plain))
	if err != nil {
		return nil, hcl.Diagnostics{r.failure(in, "importing", err)}
	}
	client, err := r.Plugins.Client(ctx, t.plugin)
	if err != nil {
		return nil, hcl.Diagnostics{r.failure(in, "importing", err)}
	}
	res, err := client.Import(ctx, &pluginv1.ImportRequest{Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Config: config, Id: id})
	if err != nil {
		return nil, hcl.Diagnostics{r.failure(in, "importing "+id, err)}
	}
	diags := r.diagnostics(in, res.GetDiagnostics())
	if !diags.HasErrors() && res.GetRecord().GetOutputs() == nil {
		diags = append(diags, r.failure(in, "importing "+id, errors.New("the plugin answered without a record: this is a defect of the plugin")))
	}
	return res.GetRecord(), diags
}

// imported is the record of an existing object in the form of state.
func (r *run) imported(ctx context.Context, in *instance, id string) (*state.Record, hcl.Diagnostics) {
	got, diags := r.importRecord(ctx, in, id)
	if diags.HasErrors() {
		return nil, diags
	}
	t := in.node.typ
	rec := &state.Record{Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Plugin: t.plugin, Status: state.StatusOK, Private: got.GetPrivate(), DependsOn: r.managedUpstream(in)}
	outputs, err := r.decodeOutputs(t, got.GetOutputs())
	if err == nil {
		rec.Outputs, err = stored(outputs)
	}
	config := cty.NilVal
	if err == nil && got.GetConfig() != nil {
		config, err = eval.DecodeValue(got.GetConfig(), t.configType)
	}
	if err == nil && config != cty.NilVal {
		rec.Config, err = stored(r.secrets.mark(markSensitive(config, t.config)))
	}
	if err != nil {
		return nil, append(diags, r.failure(in, "importing "+id, err))
	}
	return rec, diags
}
