package diff_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
)

// object reads YAML as a server's JSON is read.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := map[string]any{}
	if err := json.Unmarshal(j, &u); err != nil {
		t.Fatal(err)
	}
	return u
}

// lines writes changes as "path: before -> after".
func lines(changes []diff.Change) []string {
	var out []string
	for _, c := range changes {
		side := func(v any) string {
			if v == nil {
				return "-"
			}
			text, _ := json.Marshal(v)
			return string(text)
		}
		after := side(c.After)
		if c.Unknown {
			after = "(known after apply: " + c.Prefix + "...)"
		}
		if c.Sensitive {
			after += " sensitive"
		}
		out = append(out, fmt.Sprintf("%s: %s -> %s", c.Path, side(c.Before), after))
	}
	return out
}

func TestCompare(t *testing.T) {
	tests := map[string]struct {
		before, after string
		options       diff.Options
		want          []string
	}{
		"nothing": {before: "{spec: {a: 1}}", after: "{spec: {a: 1}}"},
		"what the server keeps for itself is left out": {
			before: "{metadata: {name: a, uid: x, resourceVersion: '1', generation: 1, managedFields: [{manager: m}]}, status: {ready: true}}",
			after:  "{metadata: {name: a, uid: x, resourceVersion: '2', generation: 2, managedFields: []}, status: {ready: false}}",
		},
		"kubectl's copy of the object is left out": {
			before: `{metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "hunter2"}}}`, after: "{metadata: {annotations: {}}}",
		},
		"changed, gone and new fields": {
			before: "{spec: {a: 1, gone: x}}", after: "{spec: {a: 2, new: true}}",
			want: []string{`spec.a: 1 -> 2`, `spec.gone: "x" -> -`, `spec.new: - -> true`},
		},
		"names with dots and slashes are quoted": {
			before: "{metadata: {labels: {app.kubernetes.io/name: a}}}", after: "{metadata: {labels: {app.kubernetes.io/name: b}}}",
			want: []string{`metadata.labels["app.kubernetes.io/name"]: "a" -> "b"`},
		},
		"containers are found by name, wherever they are": {
			before: "{spec: {containers: [{name: api, image: 'a:1'}, {name: proxy, image: 'p:1'}]}}",
			after:  "{spec: {containers: [{name: api, image: 'a:2'}, {name: proxy, image: 'p:1'}]}}",
			want:   []string{`spec.containers[name=api].image: "a:1" -> "a:2"`},
		},
		"an item more, an item less": {
			before: "{env: [{name: A, value: a}, {name: B, value: b}]}", after: "{env: [{name: A, value: a}, {name: C, value: c}]}",
			want: []string{`env[name=C].value: - -> "c"`, `env[name=B].value: "b" -> -`},
		},
		"an item that is nothing but its name": {
			before: "{imagePullSecrets: []}", after: "{imagePullSecrets: [{name: a}]}",
			want: []string{`imagePullSecrets[name=a].name: - -> "a"`},
		},
		"another order of the same items": {
			before: "{containers: [{name: a, image: x}, {name: b, image: x}]}", after: "{containers: [{name: b, image: x}, {name: a, image: x}]}",
			want: []string{`containers (order): ["a","b"] -> ["b","a"]`},
		},
		"ports of two protocols": {
			before: "{ports: [{port: 53, protocol: TCP}, {port: 53, protocol: UDP, targetPort: 53}]}",
			after:  "{ports: [{port: 53, protocol: TCP}, {port: 53, protocol: UDP, targetPort: 5353}]}",
			want:   []string{`ports[port=53,protocol=UDP].targetPort: 53 -> 5353`},
		},
		"volume mounts of one volume": {
			before: "{volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]}", after: "{volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b, readOnly: true}]}",
			want: []string{`volumeMounts[mountPath=/b].readOnly: - -> true`},
		},
		"lists without names are shown whole": {
			before: "{args: [a, b]}", after: "{args: [a, c]}", want: []string{`args: ["a","b"] -> ["a","c"]`},
		},
		"an empty map is a value": {
			before: "{volumes: [{name: v}]}", after: "{volumes: [{name: v, emptyDir: {}}]}", want: []string{`volumes[name=v].emptyDir: - -> {}`},
		},
		"another kind of value": {
			before: "{a: {b: c}}", after: "{a: text}", want: []string{`a: {"b":"c"} -> "text"`},
		},
		"an image known after apply": {
			before: "{containers: [{name: api, image: 'a:1'}]}", after: "{containers: [{name: api, image: PLACEHOLDER}]}",
			options: diff.Options{Unknown: map[string]string{"PLACEHOLDER": "reg/a:2@"}},
			want:    []string{`containers[name=api].image: "a:1" -> (known after apply: reg/a:2@...)`},
		},
		"a new object": {
			after: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {davit.sh/application: x}, labels: {l: m}}, data: {k: v}}",
			want:  []string{`data.k: - -> "v"`, `metadata.labels.l: - -> "m"`},
		},
		"a Secret tells its keys only": {
			before: "{data: {same: aA==, changed: aA==, gone: aA==}, type: Opaque}", after: "{data: {same: aA==, changed: Yg==, new: Yg==}, type: other}",
			options: diff.Options{Secret: true},
			want: []string{`data.changed: "(sensitive)" -> "(sensitive)" sensitive`, `data.gone: "(sensitive)" -> - sensitive`, `data.new: - -> "(sensitive)" sensitive`,
				`type: "Opaque" -> "other"`},
		},
		"a Secret of a strange form tells nothing": {
			before: "{data: hunter2}", after: "{data: {k: hunter2}}", options: diff.Options{Secret: true},
			want: []string{`data: "(sensitive)" -> "(sensitive)" sensitive`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := lines(diff.Compare(object(t, test.before), object(t, test.after), test.options))
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestManyFieldsAreCut(t *testing.T) {
	data := map[string]any{}
	for i := range diff.MaxFields + 7 {
		data[fmt.Sprint("k", i)] = "v"
	}
	fields, note := diff.Fields(diff.Compare(nil, map[string]any{"data": data}, diff.Options{}))
	if len(fields) != diff.MaxFields || note != "and 7 more fields" {
		t.Errorf("%d fields and %q", len(fields), note)
	}
}

// TestCompareFindsEveryDifference: no changes means equal, and an object never differs from itself.
func TestCompareFindsEveryDifference(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaves := []*rapid.Generator[any]{
			rapid.Map(rapid.StringMatching(`[a-c]{0,2}`), func(s string) any { return s }),
			rapid.Map(rapid.Int64Range(0, 3), func(i int64) any { return i }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		}
		if depth > 0 {
			leaves = append(leaves,
				rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 3), func(l []any) any { return l }),
				rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"name", "port", "a", "b"}), rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 3),
					func(m map[string]any) any { return m }))
		}
		return rapid.OneOf(leaves...)
	}
	rapid.Check(t, func(t *rapid.T) {
		before := map[string]any{"spec": value(3).Draw(t, "before")}
		after := map[string]any{"spec": value(3).Draw(t, "after")}
		b, _ := json.Marshal(before)
		a, _ := json.Marshal(after)
		changes := diff.Compare(before, after, diff.Options{})
		if (string(a) == string(b)) != (len(changes) == 0) {
			t.Fatalf("%s and %s: %q", b, a, lines(changes))
		}
		if same := diff.Compare(before, before, diff.Options{}); len(same) != 0 {
			t.Fatalf("%s differs from itself: %q", b, lines(same))
		}
	})
}

const live = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {by-hand: x, ours: y}
  managedFields:
  - {manager: davit, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:metadata": {"f:labels": {"f:ours": {}}}, "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"api"}': {".": {}, "f:name": {}, "f:image": {}}}}}}}}
  - {manager: kubectl-edit, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:metadata": {"f:labels": {"f:by-hand": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"api"}': {"f:env": {".": {}, 'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}}, 'k:{"name":"shell"}': {".": {}, "f:name": {}, "f:image": {}, "f:ports": {".": {}, 'k:{"containerPort":1,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}}}}}}}}
  - {manager: kube-controller-manager, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, subresource: status, fieldsV1: {"f:status": {"f:replicas": {}}}}
  - {manager: kubectl-rollout, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:metadata": {"f:annotations": {"f:restarted": {}}}}}
spec:
  replicas: 5
  template:
    spec:
      containers:
      - {name: api, image: "a:2", env: [{name: DEBUG, value: "1"}]}
      - {name: shell, image: "sh", ports: [{containerPort: 1, protocol: TCP}]}
`

func TestWithoutHandMade(t *testing.T) {
	u := &unstructured.Unstructured{Object: object(t, live)}
	if !diff.HandMade(u) {
		t.Fatal("kubectl-edit was not noticed")
	}
	result := diff.WithoutHandMade(u, u, nil)
	got := lines(diff.Compare(u.Object, result.Object, diff.Options{}))
	want := []string{
		`metadata.labels.by-hand: "x" -> -`,
		`spec.replicas: 5 -> -`,
		`spec.template.spec.containers[name=api].env[name=DEBUG].value: "1" -> -`,
		`spec.template.spec.containers[name=shell].image: "sh" -> -`,
		`spec.template.spec.containers[name=shell].ports[containerPort=1].protocol: "TCP" -> -`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	t.Run("what has a default goes back to it", func(t *testing.T) {
		fresh := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
		changes := lines(diff.Compare(u.Object, diff.WithoutHandMade(u, u, fresh).Object, diff.Options{}))
		if !slices.Contains(changes, `spec.replicas: 5 -> 1`) {
			t.Errorf("got\n%s", strings.Join(changes, "\n"))
		}
	})
	if diff.HandMade(&unstructured.Unstructured{Object: map[string]any{}}) {
		t.Error("an object without managers has hand-made fields")
	}
}

func TestOwners(t *testing.T) {
	u := &unstructured.Unstructured{Object: object(t, live)}
	after := u.DeepCopy()
	containers, _, _ := unstructured.NestedSlice(after.Object, "spec", "template", "spec", "containers")
	tests := map[string]struct {
		change func(map[string]any)
		want   []string
	}{
		"a field that davit owns": {func(o map[string]any) {
			containers[0].(map[string]any)["image"] = "a:3"
			unstructured.SetNestedSlice(o, containers, "spec", "template", "spec", "containers")
		}, nil},
		"a field that somebody set": {func(o map[string]any) { unstructured.SetNestedField(o, int64(1), "spec", "replicas") }, []string{"kubectl-edit"}},
		"an item that somebody added": {func(o map[string]any) {
			unstructured.SetNestedSlice(o, containers[:1], "spec", "template", "spec", "containers")
		}, []string{"kubectl-edit"}},
		"the controllers' own status": {func(o map[string]any) { unstructured.SetNestedField(o, int64(1), "status", "replicas") }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			changed := u.DeepCopy()
			test.change(changed.Object)
			if got := diff.Owners(u, diff.Compare(u.Object, changed.Object, diff.Options{})); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestOwnFields(t *testing.T) {
	u := &unstructured.Unstructured{Object: object(t, live)}
	if own := string(diff.OwnFields(u)); !strings.Contains(own, "f:ours") || strings.Contains(own, "by-hand") {
		t.Errorf("davit's own fields: %s", own)
	}
}

func TestTakenOver(t *testing.T) {
	const (
		own    = "{manager: davit, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"f:data\": {\"f:a\": {}}}}"
		edit   = "{manager: kubectl-edit, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"f:data\": {\"f:b\": {}}}}"
		apply  = "{manager: kubectl, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"f:data\": {\"f:c\": {}}}}"
		status = "{manager: kubectl-edit, operation: Update, subresource: status, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"f:status\": {}}}"
		other  = "{manager: operator, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"f:data\": {\"f:d\": {}}}}"
		broken = "{manager: kubectl, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {\"what\": {}}}"
	)
	tests := map[string]struct {
		entries []string
		want    []string // "manager operation fields"; none: there is nothing to take over
	}{
		"nobody but davit": {[]string{own, other, status}, nil},
		"nobody at all":    {nil, nil},
		"two tools, in either way": {[]string{edit, own, other, apply},
			[]string{`operator Update {"f:data":{"f:d":{}}}`, `davit Apply {"f:data":{"f:a":{},"f:b":{},"f:c":{}}}`}},
		"davit has none yet":                {[]string{apply, other}, []string{`operator Update {"f:data":{"f:d":{}}}`, `davit Apply {"f:data":{"f:c":{}}}`}},
		"what a tool wrote into the status": {[]string{status, edit, own}, []string{`kubectl-edit Update {"f:status":{}}`, `davit Apply {"f:data":{"f:a":{},"f:b":{}}}`}},
	}
	read := func(t *testing.T, entries []string) *unstructured.Unstructured {
		t.Helper()
		return &unstructured.Unstructured{Object: object(t, "metadata: {managedFields: ["+strings.Join(entries, ", ")+"]}")}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			entries, err := diff.TakenOver(read(t, test.entries))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, fmt.Sprintf("%s %s %s", e.Manager, e.Operation, strings.TrimSpace(e.FieldsV1.GetRawString())))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
	if _, err := diff.TakenOver(read(t, []string{own, broken})); err == nil || !strings.Contains(err.Error(), "kubectl") {
		t.Errorf("fields that cannot be read: %v", err)
	}
}
