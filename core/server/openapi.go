package server

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// openAPI returns the OpenAPI 3.1 document of the table of endpoints.
func openAPI(s *Server, _ *request) (int, any, error) {
	return http.StatusOK, Document(s.options.Version), nil
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// Document makes the OpenAPI 3.1 document of the API.
func Document(version string) map[string]any {
	types := &schemas{byName: map[string]any{}}
	paths := map[string]any{}
	problem := content(types.of(reflect.TypeFor[Problem]()))
	for _, e := range endpoints() {
		op := map[string]any{"operationId": e.Name, "summary": e.Summary, "x-davit-verb": e.Verb}
		var params []any
		for _, m := range parameter.FindAllStringSubmatch(e.Path, -1) {
			params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
		}
		for _, q := range e.Query {
			params = append(params, map[string]any{"name": q, "in": "query", "schema": map[string]any{"type": "string"}})
		}
		if params != nil {
			op["parameters"] = params
		}
		if e.Body != nil {
			op["requestBody"] = map[string]any{"content": content(types.of(reflect.TypeOf(e.Body)))}
		}
		answer := map[string]any{"description": e.Summary}
		switch {
		case e.Answer != nil:
			answer["content"] = content(types.of(reflect.TypeOf(e.Answer)))
		case e.stream:
			answer["content"] = map[string]any{"text/event-stream": map[string]any{"schema": map[string]any{"type": "string"}}}
		}
		answers := map[string]any{"2XX": answer}
		if e.Verb == "" {
			op["security"] = []any{}
		} else {
			answers["default"] = map[string]any{"description": "An error", "content": problem}
		}
		op["responses"] = answers
		at, _ := paths[e.Path].(map[string]any)
		if at == nil {
			at = map[string]any{}
			paths[e.Path] = at
		}
		at[strings.ToLower(e.Method)] = op
	}
	return map[string]any{
		"openapi":  "3.1.0",
		"info":     map[string]any{"title": "davit serve", "version": version},
		"paths":    paths,
		"security": []any{map[string]any{"bearer": []any{}}},
		"components": map[string]any{
			"schemas":         types.byName,
			"securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer"}},
		},
	}
}

func content(schema any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// schemas makes JSON Schemas of Go types.
type schemas struct{ byName map[string]any }

var (
	rawType      = reflect.TypeFor[json.RawMessage]()
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// of returns the schema of a type; that of a struct is a reference to a named one.
func (s *schemas) of(t reflect.Type) map[string]any {
	switch t {
	case rawType:
		return map[string]any{}
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case durationType:
		return map[string]any{"type": "integer", "description": "nanoseconds"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": []string{"array", "null"}, "items": s.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.named(t)
	}
	return map[string]any{}
}

func (s *schemas) named(t reflect.Type) map[string]any {
	name := strings.NewReplacer("github.com/davit-sh/davit/", "", "core/", "", "reconcile/", "", "/", ".").Replace(t.PkgPath()) + "." + t.Name()
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if _, made := s.byName[name]; made {
		return ref
	}
	properties := map[string]any{}
	schema := map[string]any{"type": "object", "properties": properties}
	s.byName[name] = schema // before its fields: types may contain themselves
	var required []string
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		properties[tag] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, tag)
		}
	}
	if required != nil {
		schema["required"] = required
	}
	return ref
}
