// Package schemas holds the published JSON Schemas: of a plan, of the events of a run, and of the state.
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
)
