package engine

import (
	"encoding/json"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// refill puts the sensitive values that have not changed back into what a plugin is told of a record, so that it can compare: state does
// not have them, but it has their fingerprints. An argument is what it was if its fingerprint is the same now, and passes for it if its
// changes are ignored. An output is known if it is one of the sensitive arguments of now: its fingerprint says so. Others stay null.
func (r *run) refill(prior *pluginv1.Record, rec *state.Record, in *instance) error {
	if r.Fingerprint == nil || in.config == cty.NilVal || len(rec.Fingerprints)+len(rec.OutputFingerprints) == 0 {
		return nil
	}
	var secrets []cty.Value
	arguments, outputs := map[string]cty.Value{}, map[string]cty.Value{}
	secretParts(in.node.typ.pluginConfig(in.config), func(path string, v cty.Value) {
		secrets = append(secrets, v)
		if was := rec.Fingerprints[path]; was != "" && (in.ignored[path] || was == r.fingerprint(path, v)) {
			arguments[path] = v
		}
	})
	for path, was := range rec.OutputFingerprints {
		for _, v := range secrets {
			if was == r.fingerprint(inOutputs+path, v) {
				outputs[path] = v
			}
		}
	}
	var err error
	if prior.Config, err = withSecrets(prior.Config, rec.Config, arguments, in.node.typ.configType); err == nil {
		prior.Outputs, err = withSecrets(prior.Outputs, rec.Outputs, outputs, in.node.typ.outputType)
	}
	return err
}

// withSecrets is a stored value as a plugin is told it, with values at some paths. Without any it stays as it is.
func withSecrets(told *pluginv1.Value, raw json.RawMessage, at map[string]cty.Value, t cty.Type) (*pluginv1.Value, error) {
	if len(at) == 0 {
		return told, nil
	}
	v, err := storedValue(raw)
	if err != nil {
		return nil, err
	}
	v, err = cty.Transform(fit(v, t), func(p cty.Path, v cty.Value) (cty.Value, error) {
		if secret, there := at[plan.PathString(p)]; there && v.IsNull() && secret.Type().Equals(v.Type()) {
			return secret, nil
		}
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	return eval.EncodeValue(v)
}
