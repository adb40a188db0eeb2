package load

import (
	"testing"
	"testing/fstest"
)

// Whatever a folder holds, loading it ends with objects or with an error.
func FuzzManifest(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"))
	f.Add([]byte("---\n--- {a: b}\n...\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("{\"kind\": \"List\", \"items\": [null]}"))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		for _, name := range []string{"a.yaml", "a.json"} {
			result, err := Folder(fstest.MapFS{name: {Data: manifest}}, Options{Dir: "."})
			if err == nil && depthOf(anyOf(result.Objects), maxDepth+2) > maxDepth+2 {
				t.Error("objects are nested deeper than the bound")
			}
		}
	})
}

func anyOf(objects []Object) any {
	var all []any
	for _, o := range objects {
		all = append(all, o.Object)
	}
	return all
}

// A kustomization builds or is refused; nothing panics.
func FuzzKustomization(f *testing.F) {
	f.Add([]byte("resources: [a.yaml]\nnamePrefix: x-\n"))
	f.Add([]byte("resources: [\"file:///x?ref=--upload-pack%3Dx\"]\n"))
	f.Add([]byte("resources: [a.yaml]\npatches: [{patch: \"- op: remove\\n  path: /data\", target: {kind: ConfigMap}}]\n"))
	f.Add([]byte("secretGenerator: [{name: a, literals: [a=b]}]\n"))
	a := []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n")
	f.Fuzz(func(t *testing.T, kustomization []byte) {
		_, _ = Folder(fstest.MapFS{"kustomization.yaml": {Data: kustomization}, "a.yaml": {Data: a}}, Options{Dir: "."})
	})
}

// A text that passes the bounds does not write out to more than they say.
func FuzzBounds(f *testing.F) {
	f.Add([]byte("a: &a [x, x]\nb: [*a, *a]\n"))
	f.Add([]byte("? [[[[]]]]\n: - - - - a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = checkBounds("a.yaml", text)
	})
}
