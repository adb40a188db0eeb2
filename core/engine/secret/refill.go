package secret

import (
	"encoding/json"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// Refill puts the sensitive values that have not changed back into the record that a plugin gets, so that it can compare: state has only
// their fingerprints. An argument is put back if its fingerprint is the one of config, or if its changes are ignored. An output is put
// back if its fingerprint is that of a sensitive argument. Other sensitive values stay null. config is marked, and NilVal if there is none.
func (f Fingerprints) Refill(prior *pluginv1.Record, rec *state.Record, config cty.Value, ignored map[string]bool, t *types.Type) error {
	if f == nil || config == cty.NilVal || len(rec.Fingerprints)+len(rec.OutputFingerprints) == 0 {
		return nil
	}
	var known []cty.Value
	arguments, outputs := map[string]cty.Value{}, map[string]cty.Value{}
	Parts(t.PluginConfig(config), func(path string, v cty.Value) {
		known = append(known, v)
		if was := rec.Fingerprints[path]; was != "" && (ignored[path] || was == f.Value(path, v)) {
			arguments[path] = v
		}
	})
	for path, was := range rec.OutputFingerprints {
		for _, v := range known {
			if was == f.Value(inOutputs+path, v) {
				outputs[path] = v
			}
		}
	}
	var err error
	if prior.Config, err = withSecrets(prior.Config, rec.Config, arguments, t.ConfigType); err == nil {
		prior.Outputs, err = withSecrets(prior.Outputs, rec.Outputs, outputs, t.OutputType)
	}
	return err
}

// withSecrets returns a stored value with the given secrets at their paths. It returns given itself if there are none.
func withSecrets(given *pluginv1.Value, raw json.RawMessage, secrets map[string]cty.Value, t cty.Type) (*pluginv1.Value, error) {
	if len(secrets) == 0 {
		return given, nil
	}
	v, err := types.Decode(raw)
	if err != nil {
		return nil, err
	}
	v, err = cty.Transform(types.Fit(v, t), func(p cty.Path, v cty.Value) (cty.Value, error) {
		if secret, there := secrets[plan.PathString(p)]; there && v.IsNull() && secret.Type().Equals(v.Type()) {
			return secret, nil
		}
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	return eval.EncodeValue(v)
}
