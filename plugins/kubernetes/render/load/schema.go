package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"

	"github.com/davit-sh/davit/sdk"
)

// metaschema matches the identities of JSON Schema itself, which the library holds.
var metaschema = regexp.MustCompile(`^https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/(schema|meta/[a-z-]+)#?$`)

// checkSchemas refuses references out of the schemas of a chart's values, and of the charts in it. Helm's library would fetch
// them, or read them from this machine.
func checkSchemas(c *chart.Chart, depth int) error {
	if depth > maxDepth {
		return tooMuch(c.Name(), "nests charts more than %d deep", maxDepth)
	}
	if len(c.Schema) > 0 {
		var schema any
		if err := json.Unmarshal(c.Schema, &schema); err != nil {
			return fmt.Errorf("the values.schema.json of the chart %s is not JSON", c.Name())
		}
		if depthOf(schema, maxDepth) > maxDepth {
			return tooMuch("the values.schema.json of the chart "+c.Name(), "nests maps and lists more than %d deep", maxDepth)
		}
		if found := outsideOf(schema); found != "" {
			return &sdk.Error{Summary: fmt.Sprintf("the values.schema.json of the chart %s refers to %q, which is not in it", c.Name(), quotable(found)),
				Code: "kubernetes.remote", Path: sdk.At("path"), Hint: "Schemas are not fetched. Copy the referenced schema into $defs, and refer to \"#/$defs/...\"."}
		}
	}
	for _, d := range c.Dependencies() {
		if err := checkSchemas(d, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// outsideOf finds a reference in a schema that does not stay in its document.
func outsideOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			text, isText := e.(string)
			switch key {
			case "$ref", "$dynamicRef", "$recursiveRef":
				if isText && !strings.HasPrefix(text, "#") && !metaschema.MatchString(text) {
					return text
				}
			case "$schema":
				if isText && !metaschema.MatchString(text) {
					return text
				}
			}
			if found := outsideOf(e); found != "" {
				return found
			}
		}
	case []any:
		for _, e := range v {
			if found := outsideOf(e); found != "" {
				return found
			}
		}
	}
	return ""
}

// checkValues checks values against the schemas of a chart and of the charts in it, as Helm does. The error says where a value is and
// which rule it breaks; it has no value in it, and nothing of the schema's texts.
func checkValues(c *chart.Chart, values map[string]any) error {
	if len(c.Schema) > 0 {
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.Schema))
		if err != nil {
			return fmt.Errorf("the values.schema.json of the chart %s is not JSON", c.Name())
		}
		compiler := jsonschema.NewCompiler()
		compiler.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is loaded
		const name = "davit:///values.schema.json"
		if err := compiler.AddResource(name, schema); err != nil {
			return schemaError(c, "cannot be read as a schema")
		}
		compiled, err := compiler.Compile(name)
		if err != nil {
			return schemaError(c, "is not a valid schema, or refers to a schema outside of it")
		}
		if broken, ok := errors.AsType[*jsonschema.ValidationError](compiled.Validate(values)); ok {
			return schemaError(c, "does not allow the values: "+strings.Join(breaches(broken, nil), "; "))
		}
	}
	for _, d := range c.Dependencies() {
		switch below := values[d.Name()].(type) {
		case nil:
		case map[string]any:
			if err := checkValues(d, below); err != nil {
				return err
			}
		default:
			return schemaError(d, "requires a map, but the chart's values are not a map")
		}
	}
	return nil
}

func schemaError(c *chart.Chart, what string) error {
	return &sdk.Error{Summary: fmt.Sprintf("the values.schema.json of the chart %s %s", c.Name(), bounded(what)), Code: "kubernetes.helm", Path: sdk.At("values")}
}

// breaches are the places of values and the rules that they break, at most ten.
func breaches(e *jsonschema.ValidationError, all []string) []string {
	for _, cause := range e.Causes {
		all = breaches(cause, all)
	}
	if len(e.Causes) > 0 || len(all) >= 10 {
		return all
	}
	where := "the values"
	if len(e.InstanceLocation) > 0 {
		where = strings.Join(e.InstanceLocation, ".")
	}
	return append(all, fmt.Sprintf("%s breaks the rule %q", where, strings.Join(e.ErrorKind.KeywordPath(), ".")))
}
