package render_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

const chart = `apiVersion: v1
kind: ConfigMap
metadata:
  name: c
  annotations: {checksum: "{{ .Values.image | sha256sum }}"}
data:
  image: "{{ .Values.image }}"
  args: "--image={{ .Values.image }} --verbose"
  same: "{{ .Values.same }}"
`

func renderChart(t *testing.T, template string, known []string) (*render.Set, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "templates/a.yaml": template} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c := render.Config{Source: sdk.SourceRef{Address: "source.git.a", Tree: sdk.Tree{Path: dir}}, Values: sdk.UnknownPieces(known...)}
	return c.Render(t.Context(), "application.manifests.a", nil)
}

// What depends on an unknown piece of the values is unknown, also through a function; the rest is known.
func TestRenderWithValuesThatAreKnownInPieces(t *testing.T) {
	set, err := renderChart(t, chart, []string{"image: reg/api:1@sha256:", "\nsame: x\n"})
	if err != nil {
		t.Fatal(err)
	}
	object := set.Objects[len(set.Objects)-1].Object
	data, _ := object["data"].(map[string]any)
	annotations, _ := object["metadata"].(map[string]any)["annotations"].(map[string]any)
	for what, got := range map[string]any{"image": data["image"], "args": data["args"], "checksum": annotations["checksum"]} {
		prefix, unknown := set.Unknown[got.(string)]
		if want := map[string]string{"image": "reg/api:1@sha256:", "args": "--image=reg/api:1@sha256:"}[what]; !unknown || prefix != want {
			t.Errorf("%s is %q: unknown %v, prefix %q", what, got, unknown, prefix)
		}
	}
	if data["same"] != "x" || len(set.Unknown) != 3 || set.Digest != "" {
		t.Errorf("%v, unknown: %q, digest %q", data["same"], slices.Collect(maps.Keys(set.Unknown)), set.Digest)
	}
}

// When the objects themselves depend on an unknown piece, nothing is told of them.
func TestRenderWithValuesThatDecideWhatThereIs(t *testing.T) {
	for name, template := range map[string]string{
		"another number":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {}\nn: {{ len .Values.image }}\n",
		"another name":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Values.image }}\"}\n",
		"another key":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {\"{{ .Values.image }}\": x}\n",
		"no object":       "{{ if contains \"0\" .Values.image }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n{{ end }}",
		"it is refused":   "{{ fail .Values.image }}",
		"one is refused":  "{{ if contains \"0\" .Values.image }}{{ fail \"no zeros\" }}{{ end }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
		"one more object": "{{ if contains \"0\" .Values.image }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n{{ end }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
	} {
		_, err := renderChart(t, template, []string{"image: ", "\n"})
		if err == nil || err.Error() != "values is not known yet" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := renderChart(t, chart, nil)
	if err == nil || err.Error() != "values is not known yet" {
		t.Errorf("without any piece: %v", err)
	}
}

// What is wrong whatever the unknown pieces are is an error of the plan.
func TestRenderOfABrokenChartWithUnknownValues(t *testing.T) {
	_, err := renderChart(t, "apiVersion: v1\nkind: ConfigMap\n", []string{"image: ", "\n"})
	var e *sdk.Error
	if !errors.As(err, &e) && !strings.Contains(err.Error(), "metadata.name") {
		t.Errorf("got %v", err)
	}
}
