package load

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"helm.sh/helm/v3/pkg/chart"

	"github.com/davit-sh/davit/sdk"
)

// metaschema matches the identities of JSON Schema itself, which the library holds.
var metaschema = regexp.MustCompile(`^https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/(schema|meta/[a-z-]+)#?$`)

// checkSchemas refuses references out of the schemas of a chart's values, and of the charts in it. Helm's library would fetch
// them, or read them from this machine.
func checkSchemas(c *chart.Chart, depth int) error {
	if depth > maxDepth {
		return tooMuch(c.Name(), "holds charts in each other more than %d deep", maxDepth)
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
				Code: "kubernetes.remote", Path: sdk.At("path"), Hint: "Schemas are not fetched. Copy what is referred to into the schema's $defs, and refer to \"#/$defs/...\"."}
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
