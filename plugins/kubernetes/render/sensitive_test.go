package render

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
)

// secretChart uses a password in every way that a chart can, and a replica count that is no secret.
const secretChart = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: login
  annotations:
    checksum: {{ .Values.password | sha256sum }}
data:
  plain: {{ .Values.password | quote }}
  upper: {{ .Values.password | upper | quote }}
  half: {{ .Values.password | trunc 2 | quote }}
  twice: {{ .Values.password | b64enc | b64enc }}
  url: http://ada:{{ .Values.password | urlquery }}@db/
  json: {{ dict "p" .Values.password | toJson | quote }}
  port: {{ .Values.db.pin | quote }}
  sum: {{ add .Values.db.pin 1 | quote }}
  list: {{ index .Values.list 1 | quote }}
  open: {{ .Values.open | quote }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers:
      - name: web
        image: nginx:1.27
        args: ["--pin", "{{ .Values.db.pin }}"]
        env:
        - {name: A, value: open}
        - {name: PASSWORD, value: {{ .Values.password | quote }}}
`

func chartFS(template string) fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":            {Data: []byte("apiVersion: v2\nname: shop\nversion: 1.0.0\n")},
		"templates/all.yaml":    {Data: []byte(template)},
		"templates/_empty.yaml": {Data: []byte("")},
	}
}

func secretOptions(password string, pin float64) Options {
	return Options{
		Path: ".", Values: map[string]any{
			"password": password, "db": map[string]any{"pin": pin}, "list": []any{"open", password}, "open": "open", "replicas": 2.0,
		},
		Sensitive: [][]any{{"values", "password"}, {"values", "db", "pin"}, {"values", "list", 1}},
	}
}

func TestWhatDependsOnASecretIsMasked(t *testing.T) {
	set, err := Render(t.Context(), chartFS(secretChart), secretOptions("abc12", 4711))
	if err != nil {
		t.Fatal(err)
	}
	shown, open := "", map[string]bool{}
	for _, o := range set.Objects {
		fields, _ := diff.Fields(diff.Compare(nil, o.Object, diff.Options{Sensitive: o.Sensitive}))
		for _, f := range fields {
			text, _ := json.Marshal(f)
			shown += string(text) + "\n"
			if !f.Sensitive {
				open[f.Path] = true
			}
		}
	}
	for _, secret := range []string{"abc12", "ABC12", `"ab"`, "4711", "4712", "WVdKak1USQ", "YWJjMTI"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is shown:\n%s", secret, shown)
		}
	}
	for _, path := range []string{"data.open", "spec.replicas", "spec.template.spec.containers[name=web].image", "spec.template.spec.containers[name=web].env[name=A].value"} {
		if !open[path] {
			t.Errorf("%s is masked, and it depends on no secret:\n%s", path, shown)
		}
	}
	// A digest that depended on the secret would give a short one away.
	other, err := Render(t.Context(), chartFS(secretChart), secretOptions("xyz99", 1234))
	if err != nil {
		t.Fatal(err)
	}
	if set.Digest != other.Digest || Digest(set.Objects) != Digest(other.Objects) {
		t.Error("the digest depends on the secret")
	}
	options := secretOptions("abc12", 4711)
	options.Values["replicas"] = 3.0
	if other, err = Render(t.Context(), chartFS(secretChart), options); err != nil || set.Digest == other.Digest {
		t.Errorf("the digest does not depend on what is no secret (%v)", err)
	}
}

// Values that are sensitive as a whole, and labels.
func TestWhatIsSensitiveAsAWhole(t *testing.T) {
	options := secretOptions("abc12", 4711)
	options.Sensitive = [][]any{{"values"}, {"labels", "team"}}
	options.Labels = map[string]string{"team": "t3am5", "app": "shop"}
	set, err := Render(t.Context(), chartFS(secretChart), options)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range set.Objects {
		text, err := json.Marshal(o.Sensitive.Apply(o.Object))
		if err != nil || strings.Contains(string(text), "abc12") || strings.Contains(string(text), "t3am5") || !strings.Contains(string(text), "shop") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

// Errors of a chart do not repeat what they were given, whatever the chart does with it.
func TestErrorsOfRenderersAreMasked(t *testing.T) {
	for template, want := range map[string]string{
		`{{ fail (printf "the password %s is short" .Values.password) }}`:                     "is short",
		`{{ fail (printf "upper %s" (upper .Values.password)) }}`:                             "upper",
		`{{ fail (b64enc .Values.password) }}`:                                                "cannot be rendered",
		`{{ if eq .Values.password "abc12" }}{{ fail "it is abc12" }}{{ end }}`:               "cannot be rendered",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: [{{ .Values.password }}": "",
		"{{ .Values.password }}":       "",
		`{{ fail "nothing of it" }}`:   "nothing of it",
		"kind: {{ .Values.db.pin }}\n": "",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"x-{{ .Values.password }}\"}\n": "depends on a sensitive value",
	} {
		_, err := Render(t.Context(), chartFS(template), secretOptions("abc12", 4711))
		if err == nil {
			t.Errorf("%s: no error", template)
			continue
		}
		text := err.Error()
		if strings.Contains(strings.ToLower(text), "abc12") || strings.Contains(text, "YWJjMTI") || strings.Contains(text, "4711") || strings.Contains(text, "bcd23") || !strings.Contains(text, want) {
			t.Errorf("%s: %s", template, text)
		}
	}
}
