package main

import (
	"encoding/json"
	"io"

	"github.com/davit-sh/davit/core/kinds"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// schemaDocument is what davit schema -json prints: schemas/schema.schema.json.
type schemaDocument struct {
	FormatVersion string                 `json:"format_version"`
	Kinds         map[string]schemaBlock `json:"kinds"` // what davit adds to the blocks of a kind
	// Credentials are the credentials blocks, by their label.
	Credentials map[string]schemaBlock  `json:"credentials"`
	Plugins     map[string]schemaPlugin `json:"plugins"`
}

type schemaPlugin struct {
	Version string       `json:"version"`
	Types   []schemaType `json:"types"`
}

type schemaType struct {
	Kind          string            `json:"kind"`
	Name          string            `json:"name"`
	Description   string            `json:"description,omitempty"`
	Config        schemaBlock       `json:"config"`
	Outputs       []schemaAttribute `json:"outputs"`
	CanImport     bool              `json:"can_import,omitempty"`
	CanWatch      bool              `json:"can_watch,omitempty"`
	CannotRecover bool              `json:"cannot_recover,omitempty"`
}

type schemaBlock struct {
	Attributes []schemaAttribute `json:"attributes"`
	Blocks     []schemaNested    `json:"blocks,omitempty"`
}

type schemaAttribute struct {
	Name        string          `json:"name"`
	Type        json.RawMessage `json:"type"` // "string", ["list","string"], ["object",{...},["optional"]], "dynamic"
	Required    bool            `json:"required,omitempty"`
	Sensitive   bool            `json:"sensitive,omitempty"`
	Description string          `json:"description,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`
	Deprecated  string          `json:"deprecated,omitempty"`
	Pattern     string          `json:"pattern,omitempty"`
	Enum        []string        `json:"enum,omitempty"`
	Min         *float64        `json:"min,omitempty"`
	Max         *float64        `json:"max,omitempty"`
}

type schemaNested struct {
	Name        string      `json:"name"`
	Nesting     string      `json:"nesting"` // "single", "list"
	Required    bool        `json:"required,omitempty"`
	Description string      `json:"description,omitempty"`
	Block       schemaBlock `json:"block"`
}

func writeSchemaJSON(w io.Writer, list []*pluginv1.DescribeResponse) error {
	doc := schemaDocument{FormatVersion: "1.0", Kinds: map[string]schemaBlock{}, Credentials: map[string]schemaBlock{}, Plugins: map[string]schemaPlugin{}}
	for _, kind := range kinds.All() {
		if attributes := ownAttributes(kind.Name); len(attributes) > 0 {
			doc.Kinds[kind.Name] = schemaBlock{Attributes: attributes}
		}
	}
	for _, c := range kinds.AllCredentials() {
		b := schemaBlock{}
		for _, a := range c.Arguments() {
			b.Attributes = append(b.Attributes, schemaAttribute{
				Name: a.Name, Type: json.RawMessage(`"string"`), Required: a.Required, Sensitive: a.Name == c.Secret, Description: a.Help,
			})
		}
		doc.Credentials[c.Name] = b
	}
	for _, d := range list {
		p := schemaPlugin{Version: d.GetVersion(), Types: []schemaType{}}
		for _, t := range d.GetTypes() {
			p.Types = append(p.Types, schemaType{
				Kind: t.GetKind(), Name: t.GetName(), Description: t.GetDescription(), Config: jsonBlock(t.GetConfig()), Outputs: jsonBlock(optional(t.GetOutputs())).Attributes,
				CanImport: t.GetCanImport(), CanWatch: t.GetCanWatch(), CannotRecover: t.GetCannotRecover(),
			})
		}
		doc.Plugins[d.GetName()] = p
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

func jsonBlock(b *pluginv1.Block) schemaBlock {
	out := schemaBlock{Attributes: []schemaAttribute{}}
	for _, a := range b.GetAttributes() {
		out.Attributes = append(out.Attributes, schemaAttribute{
			Name: a.GetName(), Type: json.RawMessage(a.GetType()), Required: a.GetRequired(), Sensitive: a.GetSensitive(), Description: a.GetDescription(),
			Default: json.RawMessage(a.GetDefault().GetJson()), Deprecated: a.GetDeprecated(), Pattern: a.GetPattern(), Enum: a.GetEnum(), Min: a.Min, Max: a.Max,
		})
	}
	for _, n := range b.GetBlocks() {
		nesting := "single"
		if n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST {
			nesting = "list"
		}
		out.Blocks = append(out.Blocks, schemaNested{Name: n.GetName(), Nesting: nesting, Required: n.GetRequired(), Description: n.GetDescription(), Block: jsonBlock(n.GetBlock())})
	}
	return out
}
