package state_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/davit-sh/davit/schemas"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

// everything is an archive in which every field is filled.
func everything(t *testing.T) *state.Archive {
	t.Helper()
	s := memory.New()
	r := statetest.Record("build.oci.a")
	r.Config, r.Fingerprints = json.RawMessage(`{"type":"string","value":"x"}`), map[string]string{"token": "hmac-sha256:00"}
	r.Claims = []string{"image:registry.example.com/a:1"}
	r.Triggers = map[string]string{"var.version": "hmac-sha256:02"}
	r.OutputFingerprints = map[string]string{"token": "hmac-sha256:01"}
	r.Hold = &state.Hold{Revision: 1, Who: "somebody@host", Since: r.Updated, Reason: "rollback"}
	withLease(t, s, func(l state.Lease) error {
		_, err := l.Commit(t.Context(), state.Batch{
			Put: []state.Record{r, statetest.Record("build.oci.bad")},
			Begin: []state.Operation{{ID: "op", Address: "build.oci.a", Kind: "build", Type: "oci", Plugin: "oci", Action: "build", Begun: r.Updated, PlanHash: "sha256:x",
				Config: r.Config, Planned: r.Outputs, Private: []byte{1}, Checkpoint: &state.Checkpoint{Outputs: r.Outputs, Private: []byte{2}}, DependsOn: []string{"source.git.a"}}},
			Outputs: map[string]json.RawMessage{"url": json.RawMessage(`"https://example.com"`)},
			History: []state.Revision{{Operation: "op", Action: "create", Plan: "sha256:x", Who: "somebody@host", At: r.Updated, Reasons: []string{"new"}, Causes: []string{"new"}, Record: r,
				From: []string{"source.git.a"}, Items: json.RawMessage(`[]`), Arguments: json.RawMessage(`[]`), Inputs: json.RawMessage(`{}`),
				Approval: &state.Approval{Who: "somebody@host", When: r.Updated, Where: "davit apply", Digest: "sha256:y"}, Overrides: []state.Override{{Gate: "prod", Who: "somebody@host", When: r.Updated, Where: "davit apply"}}}},
		})
		return err
	})
	s.Damage("record", "build.oci.bad", 0)
	all := archive(t, s)
	all.FormatVersion = all.Format // as davit state pull prints it
	return all
}

// published is the schema that is published, and its text.
func published(t *testing.T) (schema *jsonschema.Schema, document any) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.State))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("state.json", document); err != nil {
		t.Fatal(err)
	}
	if schema, err = c.Compile("state.json"); err != nil {
		t.Fatal(err)
	}
	return schema, document
}

// The example in the documentation is what the schema says, and can be pushed.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/state.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("there is no example")
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	schema, _ := published(t)
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
	if _, err := state.ReadArchive("the example", []byte(example)); err != nil {
		t.Error(err)
	}
}

// What davit state pull prints follows the published schema, whose every property it has.
func TestSchema(t *testing.T) {
	schema, document := published(t)
	text, err := json.Marshal(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v", err)
	}
	for _, p := range properties(document) {
		if !bytes.Contains(text, []byte(`"`+p+`":`)) {
			t.Errorf("the schema has %q, and no state has it", p)
		}
	}
	// The schema is of this format, and lets nothing else through.
	for _, bad := range []string{`{}`, `{"format":1,"serial":1,"records":{}}`, `{"format":2,"serial":1,"records":{},"more":1}`, `{"format":2,"serial":1,"records":{"a":{}}}`} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(value) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// properties are the names of all properties in a schema.
func properties(v any) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if list, ok := x.(map[string]any); ok && k == "properties" {
				for name := range list {
					names = append(names, name)
				}
			}
			names = append(names, properties(x)...)
		}
	case []any:
		for _, x := range v {
			names = append(names, properties(x)...)
		}
	}
	return names
}

func TestReadArchive(t *testing.T) {
	want := everything(t)
	text, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compact := &state.Archive{}
	if err := json.Unmarshal(text, compact); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{
		"this format":    string(text),
		"format 1":       strings.Replace(string(text), `"format": 2`, `"format": 1`, 1),
		"space after it": string(text) + "\n \t\r\n",
	} {
		got, err := state.ReadArchive("backup.json", []byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(compact, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "is not a state file, or is damaged"},
		"cut off":            {string(text[:len(text)/2]), "is not a state file, or is damaged"},
		"text after it":      {string(text) + "x", "after top-level value"},
		"two of them":        {string(text) + string(text), "after top-level value"},
		"no object":          {`[]`, "is not a state file"},
		"null":               {`null`, "has no format"},
		"no format":          {`{"lineage":"x","serial":1,"records":{}}`, "has no format"},
		"a newer format":     {`{"format":3,"later":true}`, "use a newer davit"},
		"an unknown field":   {`{"format":2,"lineage":"x","later":true}`, `unknown field "later"`},
		"no lineage":         {`{"format":2,"serial":1,"records":{}}`, "has no lineage"},
		"a record elsewhere": {`{"format":2,"lineage":"x","serial":1,"records":{"a":{"address":"b"}}}`, `the record of "b" is under "a"`},
		"a revision twice":   {`{"format":2,"lineage":"x","serial":1,"records":{},"history":[{"number":1,"record":{"address":"a"}},{"number":1,"record":{"address":"a"}}]}`, "revision 1 of a appears twice"},
	} {
		_, err := state.ReadArchive("backup.json", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var newer *state.FormatError
	if _, err := state.ReadArchive("x", []byte(`{"format":3}`)); !errors.As(err, &newer) {
		t.Errorf("%v", err)
	}
}

// Whatever text is given: it is refused, or it can be written to a store and comes back the same.
func FuzzReadArchive(f *testing.F) {
	f.Add([]byte(`{"format":2,"lineage":"x","serial":1,"records":{"a":{"address":"a"}},"operations":{"o":{"id":"o"}},"outputs":{"u":[1, 2]},"history":[{"number":3,"record":{"address":"a"}}]}`))
	f.Add([]byte(`{"format":1,"lineage":"x","records":{}} trailing`))
	f.Add([]byte(`{"format":2,"lineage":"x","records":{"\ud800":{"address":"\ufffd"}}}`))
	f.Add([]byte(`{"format":2,"lineage":"x","outputs":{"a":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := state.ReadArchive("fuzz", text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON, and was read", text)
		}
		a.Damaged, a.History = nil, state.SortHistory(a.History)
		s := memory.New()
		withLease(t, s, func(l state.Lease) error { return l.Replace(t.Context(), a) })
		want, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		again, err := state.ReadArchive("again", mustPull(t, s))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		again.History = state.SortHistory(again.History)
		got, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(normal(want), normal(got)) {
			t.Errorf("written and read again:\n%s\n%s", want, got)
		}
	})
}

func mustPull(t *testing.T, s state.Store) []byte {
	t.Helper()
	text, err := json.Marshal(archive(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// normal takes out what is another way to say nothing.
func normal(text []byte) []byte {
	for _, of := range []string{`"records":null`, `"operations":null`} {
		text = bytes.ReplaceAll(text, []byte(of), []byte(strings.Replace(of, "null", "{}", 1)))
	}
	return text
}
