package load

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/davit-sh/davit/sdk"
)

// An error of a renderer says what is wrong and where, and quotes no value, however short it is and whatever was made of it.
func TestErrorsQuoteNoValues(t *testing.T) {
	chart := "apiVersion: v2\nname: c\nversion: 1.0.0\n"
	for name, c := range map[string]struct {
		files  map[string]string
		values map[string]any
		want   []string
		secret []string
	}{
		"a literal of a nested base": {
			files: map[string]string{"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": "secretGenerator: [{name: s, literals: [abc12]}]\n"},
			want:  []string{"Kustomize cannot build", "literal"}, secret: []string{"abc12"},
		},
		"the text of a file": {
			files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": "apiVersion: v1\nkind: Secret\nstringData: {password: abc12}\n"},
			want:  []string{"Kustomize cannot build"}, secret: []string{"abc12"},
		},
		"an inline patch": {
			files: map[string]string{"kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: \"abc12 is: no: patch\"}]\n", "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"},
			want:  []string{"Kustomize cannot build"}, secret: []string{"abc12"},
		},
		"the text of fail": {
			files:  map[string]string{"Chart.yaml": chart, "templates/a.yaml": `{{ fail (printf "the password %s %s %s is too short" .Values.p (upper .Values.p) (b64enc .Values.p)) }}`},
			values: map[string]any{"p": "abc12"},
			want:   []string{"templates/a.yaml", "the password", "is too short"}, secret: []string{"abc12", "ABC12", "YWJjMTI"},
		},
		"a pattern of a schema": {
			files:  map[string]string{"Chart.yaml": chart, "templates/a.yaml": "", "values.schema.json": `{"properties": {"p": {"pattern": "^[0-9]+$"}, "n": {"maximum": 10}}}`},
			values: map[string]any{"p": "abc12", "n": 4711},
			want:   []string{"values.schema.json of the chart c does not allow", `p breaks the rule "pattern"`, `n breaks the rule "maximum"`}, secret: []string{"abc12", "4711"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for file, text := range c.files {
				tree[file] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
			}
			_, err := Folder(tree, Options{Dir: ".", Values: c.values})
			if err == nil {
				t.Fatal("no error")
			}
			text := fmt.Sprint(err)
			if single, ok := errors.AsType[*sdk.Error](err); ok {
				text += " " + single.Detail + " " + single.Hint
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in: %s", want, text)
				}
			}
			for _, secret := range c.secret {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in: %s", secret, text)
				}
			}
			t.Log(text)
		})
	}
}
