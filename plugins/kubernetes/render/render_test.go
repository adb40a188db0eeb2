package render_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// tree makes a source's tree of names and contents.
func tree(files map[string]string) fs.FS {
	t := fstest.MapFS{}
	for name, content := range files {
		t[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return t
}

func keys(set *render.Set) []string {
	var all []string
	for _, o := range set.Objects {
		all = append(all, render.Key(o.Unstructured))
	}
	return all
}

const (
	configMap  = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
	deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: migrate, image: "acme/api"}]
      containers: [{name: api, image: "acme/api:dev"}, {name: proxy, image: "127.0.0.1:5000/proxy@sha256:00"}]
`
)

func cm(name string) string { return fmt.Sprintf(configMap, name) }

func TestRender(t *testing.T) {
	crd := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zones.acme.io}
spec: {group: acme.io, scope: Cluster, names: {kind: Zone, plural: zones}, versions: []}
`
	tests := map[string]struct {
		files   map[string]string
		options render.Options
		want    []string
	}{
		"all manifests of the folder, none of its sub-folders": {
			files: map[string]string{"d/a.yaml": cm("a"), "d/b.yml": cm("b"), "d/c.json": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`,
				"d/readme.md": "no", "d/.hidden.yaml": cm("hidden"), "d/sub/e.yaml": cm("e"), "other.yaml": cm("other")},
			options: render.Options{Path: "d"},
			want:    []string{"v1/ConfigMap/a", "v1/ConfigMap/b", "v1/ConfigMap/c"},
		},
		"recursive: its sub-folders, too, but no hidden ones": {
			files:   map[string]string{"d/a.yaml": cm("a"), "d/sub/e.yaml": cm("e"), "d/.git/x.yaml": cm("x")},
			options: render.Options{Path: "d/", Recursive: true},
			want:    []string{"v1/ConfigMap/a", "v1/ConfigMap/e"},
		},
		"several documents, empty ones, comments, a byte order mark": {
			files: map[string]string{"a.yaml": "\xef\xbb\xbf# first\n---\n" + cm("a") + "---\n\n# nothing\n--- # comment\n" + cm("b") + "---\n"},
			want:  []string{"v1/ConfigMap/a", "v1/ConfigMap/b"},
		},
		"lists are flattened": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMapList, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]}\n"},
			want:  []string{"v1/ConfigMap/a", "v1/ConfigMap/b"},
		},
		"the namespace goes to namespaced objects that have none": {
			files: map[string]string{"a.yaml": cm("a") + "---\n" + strings.Replace(cm("b"), "name: b", "name: b, namespace: other", 1) +
				"---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: c, namespace: ignored}\n" +
				"---\n" + crd + "---\napiVersion: acme.io/v1\nkind: Zone\nmetadata: {name: z}\n---\napiVersion: unknown.io/v1\nkind: Thing\nmetadata: {name: t}\n"},
			options: render.Options{Namespace: "shop"},
			want: []string{"acme.io/v1/Zone/z", "apiextensions.k8s.io/v1/CustomResourceDefinition/zones.acme.io", "rbac.authorization.k8s.io/v1/ClusterRole/c",
				"unknown.io/v1/Thing/shop/t", "v1/ConfigMap/other/b", "v1/ConfigMap/shop/a"},
		},
		"create_namespace adds the namespace": {
			files:   map[string]string{"a.yaml": cm("a")},
			options: render.Options{Namespace: "shop", CreateNamespace: true},
			want:    []string{"v1/ConfigMap/shop/a", "v1/Namespace/shop"},
		},
		"but not one that the folder has, nor default": {
			files:   map[string]string{"a.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"},
			options: render.Options{Namespace: "shop", CreateNamespace: true},
			want:    []string{"v1/Namespace/shop"},
		},
		"a kustomization with a base beside it": {
			files: map[string]string{
				"base/kustomization.yaml":         "resources: [a.yaml]\n",
				"base/a.yaml":                     cm("a"),
				"overlays/prod/Kustomization":     "resources: [../../base]\nnamePrefix: prod-\nconfigMapGenerator: [{name: g, literals: [a=b], options: {disableNameSuffixHash: true}}]\npatches: [{path: ../../shared/patch.yaml}]\n",
				"shared/patch.yaml":               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {patched: \"yes\"}\n",
				"overlays/prod/not-mentioned.yml": cm("not-mentioned"),
			},
			options: render.Options{Path: "overlays/prod"},
			want:    []string{"v1/ConfigMap/prod-a", "v1/ConfigMap/prod-g"},
		},
		"a Helm chart, without its tests": {
			files: map[string]string{
				"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "c/values.yaml": "name: by-default\n",
				"c/templates/a.yaml":         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.name }}-{{ .Release.Namespace }}}\n",
				"c/templates/_helpers.tpl":   "{{ define \"x\" }}{{ end }}",
				"c/templates/NOTES.txt":      "thanks",
				"c/templates/tests/t.yaml":   "apiVersion: v1\nkind: Pod\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n",
				"c/templates/disabled.yaml":  "{{ if .Values.never }}\nkind: Broken\n{{ end }}",
				"c/crds/definition.yaml":     crd,
				"c/templates/namespace.yaml": "",
			},
			options: render.Options{Path: "c", Namespace: "shop", Values: map[string]any{"name": "chosen"}},
			want:    []string{"apiextensions.k8s.io/v1/CustomResourceDefinition/zones.acme.io", "v1/ConfigMap/shop/chosen-shop"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := render.Render(t.Context(), tree(test.files), test.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys(set); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestRenderErrors(t *testing.T) {
	tests := map[string]struct {
		files   map[string]string
		options render.Options
		want    []string // all in the error's text and hints
	}{
		"a tab":                        {files: map[string]string{"a.yaml": cm("a") + "data:\n\tk: v\n"}, want: []string{"a.yaml:5 is indented with a tab", "spaces"}},
		"a tab in a later document":    {files: map[string]string{"a.yaml": cm("a") + "---\nkind: X\ndata:\n\tk: v\n"}, want: []string{"a.yaml:7 is indented with a tab"}},
		"a syntax error":               {files: map[string]string{"a.yaml": cm("a") + "data: {a: b\nx: y\n"}, want: []string{"a.yaml:", "cannot be read"}},
		"a key twice":                  {files: map[string]string{"a.yaml": cm("a") + "kind: Secret\n"}, want: []string{"a.yaml:4 cannot be read", "kind"}},
		"no kind":                      {files: map[string]string{"a.yaml": "\napiVersion: v1\nmetadata: {name: a}\n"}, want: []string{"a.yaml:2", "has no kind"}},
		"no apiVersion":                {files: map[string]string{"a.yaml": "kind: ConfigMap\nmetadata: {name: a}\n"}, want: []string{"has no apiVersion"}},
		"no name":                      {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n"}, want: []string{"has no metadata.name"}},
		"no object at all":             {files: map[string]string{"values.yaml": "- a\n- b\n"}, want: []string{"values.yaml:1 is not a Kubernetes object: it is a list"}},
		"broken JSON":                  {files: map[string]string{"a.json": "{\n\"kind\": }\n"}, want: []string{"a.json:2 cannot be read"}},
		"nothing":                      {files: map[string]string{"d/readme.md": "no", "d/a.yaml": "# later\n"}, options: render.Options{Path: "d"}, want: []string{"d has no Kubernetes objects"}},
		"no such folder":               {files: map[string]string{"a.yaml": cm("a")}, options: render.Options{Path: "deploy"}, want: []string{`path "deploy" is not in the source`}},
		"a file instead of a folder":   {files: map[string]string{"a.yaml": cm("a")}, options: render.Options{Path: "a.yaml"}, want: []string{"is a file, not a folder"}},
		"a path that leaves the tree":  {files: map[string]string{"a.yaml": cm("a")}, options: render.Options{Path: "../x"}, want: []string{"leads out of the source"}},
		"an absolute path":             {files: map[string]string{"a.yaml": cm("a")}, options: render.Options{Path: "/etc"}, want: []string{"leads out of the source"}},
		"the same object in two files": {files: map[string]string{"a.yaml": cm("x"), "b.yaml": "# b\n" + cm("x")}, want: []string{"ConfigMap/x is defined twice", "a.yaml:1", "b.yaml:2"}},
		"the same object in two versions": {files: map[string]string{"a.yaml": "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\n---\napiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: x}\n"},
			want: []string{"CronJob/x is defined twice"}},
		"an image that nothing runs": {files: map[string]string{"a.yaml": deployment}, options: render.Options{Images: map[string]sdk.Value[string]{"acme/apo": sdk.Known("x:1")}},
			want: []string{`no container uses "acme/apo"`, `Did you mean "acme/api"?`}},
		"a label that is a number": {files: map[string]string{"a.yaml": cm("a") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels:\n    app: web\n    version: 2\n"},
			want: []string{`a.yaml:11: metadata.labels["version"] of ConfigMap/b must be a string, not a number`, "quotes"}},
		"an annotation that is a bool": {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations: {davit.sh/prune: disabled,\n    b: true}\n"},
			want: []string{`a.yaml:6: metadata.annotations["b"] of ConfigMap/a must be a string, not a bool`}},
		"an annotation without a value": {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {b: }}\n"},
			want: []string{`a.yaml:3: metadata.annotations["b"] of ConfigMap/a must be a string, not null`}},
		"labels that are a list": {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: [b]\n"},
			want: []string{"a.yaml:5: metadata.labels of ConfigMap/a must be a map of strings, not a list"}},
		"a label in a list of objects": {files: map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(cm("a"), "\n", "\n  ") + "\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: b\n    labels:\n      x: 1.5\n"},
			want: []string{`a.yaml:13: metadata.labels["x"] of ConfigMap/b`}},
		"a label in JSON": {files: map[string]string{"a.json": "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\"metadata\": {\"name\": \"a\",\n\"labels\": {\"x\": 1}}}\n"},
			want: []string{`a.json:3: metadata.labels["x"] of ConfigMap/a`}},
		"a label of a chart": {files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "values.yaml": "n: 5\n", "templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {num: {{ .Values.n }}}\n"},
			want: []string{`templates/a.yaml:5: metadata.labels["num"] of ConfigMap/a`}},
		"a key twice in JSON": {files: map[string]string{"a.json": "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"},\n\"data\": {\"k\": \"1\", \"l\": [{\"k\": 1}],\n\"k\": \"2\"}}\n"},
			want: []string{`a.json:3 has the key "k" twice`}},
		"a key twice in JSON in a YAML file": {files: map[string]string{"a.yaml": "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"a\"}}\n"},
			want: []string{`a.yaml:1 has the key "kind" twice`}},
		"two values in a JSON file": {files: map[string]string{"a.json": "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}}\n{}\n"},
			want: []string{"a.json:2 has text after the end of its JSON value"}},
		"two findings at once": {files: map[string]string{"a.yaml": "kind: A\n", "b.yaml": "kind: B\n"}, want: []string{"a.yaml:1", "b.yaml:1"}},
		"a chart with hooks": {files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "templates/j.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, annotations: {helm.sh/hook: pre-install}}\n"},
			want: []string{"Job/j", "pre-install hook"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := render.Render(t.Context(), tree(test.files), test.options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(everything(err), want) {
					t.Errorf("%q is not in: %s", want, everything(err))
				}
			}
		})
	}
}

// Kustomize writes such values as strings, as "kubectl apply -k" does.
func TestKustomizeQuotesAnnotations(t *testing.T) {
	set, err := render.Render(t.Context(), tree(map[string]string{"kustomization.yaml": "resources: [a.yaml]\n",
		"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations: {davit.sh/prune: disabled, num: 5}\n"}), render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Objects[0].GetAnnotations(); got["num"] != "5" || got["davit.sh/prune"] != "disabled" {
		t.Errorf("the annotations are %v", got)
	}
}

func TestAnEmptyFolderIsAllowedWhenAskedFor(t *testing.T) {
	set, err := render.Render(t.Context(), tree(map[string]string{"readme.md": "later"}), render.Options{AllowEmpty: true, Namespace: "shop", CreateNamespace: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(set); !slices.Equal(got, []string{"v1/Namespace/shop"}) {
		t.Errorf("it renders %q", got)
	}
}

// everything is all that an error shows.
func everything(err error) string {
	text := err.Error()
	if many, ok := errors.AsType[sdk.Errors](err); ok {
		for _, e := range many {
			text += " " + e.Summary + " " + e.Detail + " " + e.Hint
		}
	}
	if one, ok := errors.AsType[*sdk.Error](err); ok {
		text += " " + one.Detail + " " + one.Hint
	}
	return text
}

func TestImagesAreReplaced(t *testing.T) {
	const digest = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	files := map[string]string{"a.yaml": deployment + `---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: "acme/api:1"}, {name: other, image: "acme/api-tools:1"}]}}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: "acme/api@sha256:22"}], ephemeralContainers: [{name: e, image: "acme/api:x"}]}
`}
	set, err := render.Render(t.Context(), tree(files), render.Options{Images: map[string]sdk.Value[string]{
		"acme/api":             sdk.Known("registry:5000/api:1.0.7" + digest),
		"127.0.0.1:5000/proxy": sdk.UnknownPrefix("registry:5000/proxy:2.0.0@"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range set.Objects {
		for _, c := range render.Containers(o.Object) {
			got[render.Short(o.Unstructured)+":"+c.Name] = c.Image
		}
	}
	api := "registry:5000/api:1.0.7" + digest
	unknown := got["Deployment/web:proxy"]
	want := map[string]string{
		"Deployment/web:api": api, "Deployment/web:migrate": api, "Deployment/web:proxy": unknown,
		"CronJob/nightly:c": api, "CronJob/nightly:other": "acme/api-tools:1", "Pod/p:c": api, "Pod/p:e": api,
	}
	for container, image := range want {
		if got[container] != image {
			t.Errorf("%s runs %q, not %q", container, got[container], image)
		}
	}
	if prefix, known := set.Unknown[unknown]; !known || prefix != "registry:5000/proxy:2.0.0@" {
		t.Errorf("the unknown image is %q with what is known of it: %q", unknown, prefix)
	}
}

func TestDigestIsOfTheManifestsNotOfImagesOrSecrets(t *testing.T) {
	digest := func(manifest string, ref sdk.Value[string]) string {
		t.Helper()
		set, err := render.Render(t.Context(), tree(map[string]string{"a.yaml": manifest}), render.Options{Images: map[string]sdk.Value[string]{"acme/api": ref}})
		if err != nil {
			t.Fatal(err)
		}
		return set.Digest
	}
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: %s}\n"
	base := digest(deployment+fmt.Sprintf(secret, "one"), sdk.Known("a:1"))
	if digest(deployment+fmt.Sprintf(secret, "two"), sdk.UnknownPrefix("b:2")) != base {
		t.Error("the digest depends on the image or on the secret's value")
	}
	if digest(strings.Replace(deployment, "name: proxy", "name: sidecar", 1)+fmt.Sprintf(secret, "one"), sdk.Known("a:1")) == base {
		t.Error("the digest does not depend on the manifest")
	}
}

func TestLabelsAndOwner(t *testing.T) {
	set, err := render.Render(t.Context(), tree(map[string]string{"a.yaml": cm("a")}), render.Options{
		Application: `application.kubernetes.api["prod"]`, Labels: map[string]string{"team": "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	if o := set.Objects[0]; o.GetLabels()["team"] != "shop" || o.GetAnnotations()[render.Annotation] != `application.kubernetes.api["prod"]` {
		t.Errorf("labels %v, annotations %v", o.GetLabels(), o.GetAnnotations())
	}
}

// TestConfinement attacks a source's tree from inside: everything that a kustomization can
// name is tried with what is outside of the tree. A listener notices any request.
func TestConfinement(t *testing.T) {
	outside := t.TempDir()
	const planted = "planted-outside-of-the-tree"
	if err := os.WriteFile(filepath.Join(outside, "secret.yaml"), []byte(cm(planted)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "kustomization.yaml"), []byte("resources: [secret.yaml]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	asked := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			c.Close()
		}
	}()
	url := "http://" + listener.Addr().String() + "/x.yaml"
	attacks := map[string]string{
		"a file above the tree":         "resources: [../../../../../../../.." + outside + "/secret.yaml]\n",
		"an absolute file":              "resources: [" + outside + "/secret.yaml]\n",
		"an absolute base":              "resources: [" + outside + "]\n",
		"a base above the tree":         "resources: [../.." + outside + "]\n",
		"a link to a file":              "resources: [link.yaml]\n",
		"a link to a folder":            "resources: [linked]\n",
		"a remote file":                 "resources: [\"" + url + "\"]\n",
		"a remote file, capital key":    "Resources: [\"" + url + "\"]\n",
		"a remote base":                 "resources: [\"" + url + "?ref=main\"]\n",
		"a remote base over git":        "resources: [\"git::" + url + "//base\"]\n",
		"a remote base in bases":        "bases: [\"" + url + "\"]\n",
		"a remote component":            "components: [\"" + url + "\"]\n",
		"a repository of GitHub":        "resources: [\"github.com/acme/shop//base?ref=main\"]\n",
		"a repository over SSH":         "resources: [\"git@127.0.0.1:acme/shop.git\"]\n",
		"a local repository":            "resources: [\"file://" + outside + "\"]\n",
		"a remote patch":                "resources: [ok.yaml]\npatches: [{path: \"" + url + "\"}]\n",
		"a remote strategic patch":      "resources: [ok.yaml]\npatchesStrategicMerge: [\"" + url + "\"]\n",
		"a remote JSON patch":           "resources: [ok.yaml]\npatchesJson6902: [{path: \"" + url + "\", target: {version: v1, kind: ConfigMap, name: ok}}]\n",
		"a remote generator file":       "configMapGenerator: [{name: g, files: [\"a=" + url + "\"]}]\n",
		"an outside generator file":     "configMapGenerator: [{name: g, files: [\"a=../.." + outside + "/secret.yaml\"]}]\n",
		"an absolute generator file":    "secretGenerator: [{name: g, files: [\"a=" + outside + "/secret.yaml\"]}]\n",
		"a remote env file":             "secretGenerator: [{name: g, envs: [\"" + url + "\"]}]\n",
		"a remote replacement":          "resources: [ok.yaml]\nreplacements: [{path: \"" + url + "\"}]\n",
		"a remote configuration":        "resources: [ok.yaml]\nconfigurations: [\"" + url + "\"]\n",
		"remote definitions":            "resources: [ok.yaml]\ncrds: [\"" + url + "\"]\n",
		"a remote schema":               "resources: [ok.yaml]\nopenapi: {path: \"" + url + "\"}\n",
		"a remote transformer":          "resources: [ok.yaml]\ntransformers: [\"" + url + "\"]\n",
		"a plugin that names a URL":     "resources: [ok.yaml]\ngenerators: [plugin.yaml]\n",
		"an inline plugin with a URL":   "resources: [ok.yaml]\ngenerators:\n- |-\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: g}\n  files: [\"" + url + "\"]\n",
		"plugins made by a folder":      "resources: [ok.yaml]\ngenerators: [generated]\n",
		"a Helm chart":                  "helmCharts: [{name: c, repo: \"" + url + "\"}]\n",
		"an executable":                 "resources: [ok.yaml]\ngenerators: [exec.yaml]\n",
		"a container":                   "resources: [ok.yaml]\ntransformers: [container.yaml]\n",
		"a base that has a remote base": "resources: [nested]\n",
	}
	for name, kustomization := range attacks {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{
				"app/kustomization.yaml": kustomization, "app/ok.yaml": cm("ok"),
				"app/plugin.yaml":                   "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: g}\nfiles: [\"" + url + "\"]\n",
				"app/generated/kustomization.yaml":  "resources: [../plugin.yaml]\n",
				"app/nested/kustomization.yml":      "resources: [\"" + url + "\"]\n",
				"app/exec.yaml":                     "apiVersion: v1\nkind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/function: \"exec: {path: ./run.sh}\"}}\n",
				"app/run.sh":                        "#!/bin/sh\necho ran > " + outside + "/ran\n",
				"app/container.yaml":                "apiVersion: v1\nkind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/function: \"container: {image: x}\"}}\n",
				"app/unused-but-there/planted.yaml": cm("unused"),
			} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Symlink(filepath.Join(outside, "secret.yaml"), filepath.Join(dir, "app/link.yaml")), os.Symlink(outside, filepath.Join(dir, "app/linked"))); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			set, err := render.Render(context.Background(), root.FS(), render.Options{Path: "app"})
			if err == nil {
				t.Errorf("it was rendered: %q", keys(set))
			} else if strings.Contains(everything(err), planted) {
				t.Errorf("the error tells what is outside of the tree: %v", err)
			}
			if _, err := os.Stat(filepath.Join(outside, "ran")); err == nil {
				t.Error("a program of the tree was run")
			}
		})
	}
	select {
	case <-asked:
		t.Error("a remote file was asked for")
	default:
	}
}

func TestLinkOutOfAPlainFolderIsNotRead(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(outside, "s.yaml"), []byte(cm("planted")), 0o600),
		os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(cm("a")), 0o600), os.Symlink(filepath.Join(outside, "s.yaml"), filepath.Join(dir, "s.yaml"))); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	set, err := render.Render(t.Context(), root.FS(), render.Options{})
	if err == nil {
		t.Errorf("it was rendered: %q", keys(set))
	}
}

func TestErrorsDoNotQuoteSecrets(t *testing.T) {
	const secret = "hunter2-hunter2"
	for name, files := range map[string]map[string]string{
		"a Secret that cannot be read":      {"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  p: " + secret + "\n  p: " + secret + "\n"},
		"a Secret with a tab":               {"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n\tp: " + secret + "\n"},
		"a generator with a broken literal": {"kustomization.yaml": "secretGenerator: [{name: s, literals: [\"" + secret + "\"]}]\n"},
		"an alias that is not there":        {"a.yaml": "kind: Secret\ndata: *" + secret + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render.Render(t.Context(), tree(files), render.Options{})
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(everything(err), secret) {
				t.Errorf("the secret is in the error: %s", everything(err))
			}
		})
	}
}
