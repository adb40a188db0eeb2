// Package schemas holds the published JSON Schemas: of a plan, of the events of a run, of the state, and of
// what the small verbs print with -json.
package schemas

import _ "embed"

// The schemas, as JSON Schema 2020-12.
var (
	//go:embed plan.schema.json
	Plan []byte
	//go:embed event.schema.json
	Event []byte
	//go:embed state.schema.json
	State []byte
	//go:embed validate.schema.json
	Validate []byte
	//go:embed schema.schema.json
	Schema []byte
	//go:embed version.schema.json
	Version []byte
)
