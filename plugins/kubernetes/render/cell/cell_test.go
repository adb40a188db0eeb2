package cell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/davit-sh/davit/plugins/kubernetes/render/load"
	"github.com/davit-sh/davit/sdk"
)

func TestMain(m *testing.M) {
	attempts = confinementAttempts
	Main()
	if len(os.Args) == 2 && os.Args[1] == "landlock-alone" {
		os.Exit(landlockAlone())
	}
	os.Exit(m.Run())
}

func tree(files map[string]string) fs.FS {
	t := fstest.MapFS{}
	for name, text := range files {
		t[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return t
}

func pool(t testing.TB) *Pool {
	p := New()
	t.Cleanup(p.Close)
	return p
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: api, image: "api:1"}, {name: proxy, image: "proxy:1"}]
`

// patched is a kustomization with a patch that merges the list of containers by their names, as Kubernetes' schema says.
var patched = map[string]string{
	"kustomization.yaml": "resources: [web.yaml]\npatches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec: {template: {spec: {containers: [{name: api, image: \"api:2\"}]}}}\n",
	"web.yaml":           deployment,
}

func containers(t *testing.T, objects []load.Object) string {
	t.Helper()
	if len(objects) != 1 {
		t.Fatalf("%d objects", len(objects))
	}
	return fmt.Sprint(objects[0].Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"])
}

// A schema that one application brings along does not change how another one is rendered, in whatever order.
func TestSchemasOfOthersDoNotMatter(t *testing.T) {
	p := pool(t)
	strange := map[string]string{
		"kustomization.yaml": patched["kustomization.yaml"] + "openapi: {path: schema.json}\n", "web.yaml": deployment,
		"schema.json": `{"definitions": {"v": {"properties": {"spec": {"properties": {"template": {"properties": {"spec": {"properties": {"containers": {"type": "array"}}}}}}}},
"x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}]}}}`,
	}
	before, err := p.Folder(t.Context(), tree(patched), load.Options{Dir: "."})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(containers(t, before), "proxy") {
		t.Fatalf("the patch took a container: %s", containers(t, before))
	}
	changed, err := p.Folder(t.Context(), tree(strange), load.Options{Dir: "."})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(containers(t, changed), "proxy") {
		t.Fatal("the schema does not matter: this test looks at nothing")
	}
	for range 3 {
		after, err := p.Folder(t.Context(), tree(patched), load.Options{Dir: "."})
		if err != nil {
			t.Fatal(err)
		}
		if containers(t, after) != containers(t, before) {
			t.Fatalf("a neighbour's schema changed the containers to %s", containers(t, after))
		}
	}
}

// A chart that takes too much ends its own worker, with an error that names its folder. Neighbours go on.
func TestHarmStaysInTheWorker(t *testing.T) {
	chart := func(template string) map[string]string {
		return map[string]string{"bad/Chart.yaml": "apiVersion: v2\nname: bad\nversion: 1.0.0\n", "bad/templates/a.yaml": template, "good/kustomization.yaml": patched["kustomization.yaml"], "good/web.yaml": deployment}
	}
	for name, c := range map[string]struct {
		files map[string]string
		most  time.Duration
		want  string
	}{
		"a template without an end":      {chart(`{{- define "x" }}{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}{{ include "x" . }}`), 3 * time.Second, "rendering bad took longer than"},
		"a template that takes all":      {chart(`{{ range until 100000 }}{{ $x := repeat 100000000 "x" }}{{ $_ := set $.Values (printf "%d" .) $x }}{{ end }}`), mostTime, "rendering bad needs more than"},
		"a template that renders itself": {chart(`{{ $t := "{{ tpl .t . }}" }}{{ tpl $t (dict "t" $t "Template" .Template) }}`), 5 * time.Second, "bad"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pool(t)
			p.time = c.most
			files := tree(c.files)
			var wait sync.WaitGroup
			var good error
			wait.Go(func() {
				for range 5 {
					_, err := p.Folder(t.Context(), files, load.Options{Dir: "good"})
					good = errors.Join(good, err)
				}
			})
			_, err := p.Folder(t.Context(), files, load.Options{Dir: "bad", Values: map[string]any{}})
			wait.Wait()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, not %q", err, c.want)
			}
			if good != nil {
				t.Errorf("a neighbour failed: %v", good)
			}
		})
	}
}

// A worker is used again after a folder that went well, and not after one that failed.
func TestWorkersAreUsedAgain(t *testing.T) {
	p := pool(t)
	pid := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.idle) != 1 {
			return 0
		}
		return p.idle[0].cmd.Process.Pid
	}
	folder := func(files map[string]string) error {
		_, err := p.Folder(t.Context(), tree(files), load.Options{Dir: "."})
		return err
	}
	if err := folder(patched); err != nil {
		t.Fatal(err)
	}
	first := pid()
	if err := folder(patched); err != nil || first == 0 || pid() != first {
		t.Errorf("the second folder was rendered by another worker (%v)", err)
	}
	if err := folder(map[string]string{"kustomization.yaml": "resources: [none.yaml]\n"}); err == nil {
		t.Error("a file that is not there is no error")
	}
	if pid() != 0 {
		t.Error("a worker that failed is kept")
	}
	// A worker that was killed while it waited is replaced.
	if err := folder(patched); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.idle[0].cmd.Process.Kill()
	p.mu.Unlock()
	if err := folder(patched); err != nil {
		t.Errorf("after the waiting worker was killed: %v", err)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	_, err := pool(t).Folder(t.Context(), tree(map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "templates/a.yaml": `{{ fail "` + long + `" }}`}), load.Options{Dir: "."})
	single, ok := errors.AsType[*sdk.Error](err)
	if !ok || len(single.Summary)+len(single.Detail) > 3000 {
		t.Errorf("the error has %d bytes", len(fmt.Sprint(err)))
	}
}

func TestCancelledRender(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool(t).Folder(ctx, tree(patched), load.Options{Dir: "."}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// FuzzAnswer reads what a worker that a stranger has taken over may say.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"objects":[{"object":{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}},"file":"a"}]}`))
	f.Add([]byte(`{"findings":[{"summary":"x"}],"spent":true}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := parseAnswer(payload)
		if err != nil {
			return
		}
		for _, o := range a.Objects {
			if !load.Applicable(o.Object) {
				t.Error("something that is no object came out")
			}
		}
		if err := a.err(); err != nil && len(fmt.Sprint(err)) > (mostFindings+1)*5*mostText {
			t.Error("the error is not bounded")
		}
	})
}

// FuzzRender renders what strangers write, as a template of a chart or as a kustomization, in a worker: it ends with objects or with a bounded error, and
// the same folder is rendered as before afterwards.
func FuzzRender(f *testing.F) {
	f.Add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.a | quote }}}\n", "a: b\n", true)
	f.Add("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}", "", true)
	f.Add("{{ tpl .Values.a . }}{{ fail .Values.a }}", "a: \"{{ .Values | toYaml }}\"\n", true)
	f.Add("resources: [web.yaml]\nreplacements: [{source: {kind: Deployment, fieldPath: metadata.name}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.x], options: {create: true}}]}]\n", "", false)
	f.Add("generatorOptions: {labels: {a: b}}\nconfigMapGenerator: [{name: a, literals: [\"a=b\"]}]\nopenapi: {path: web.yaml}\n", "", false)
	p := New()
	f.Cleanup(p.Close)
	known := ""
	f.Fuzz(func(t *testing.T, text, values string, chart bool) {
		files := map[string]string{"bad/kustomization.yaml": text, "bad/web.yaml": deployment}
		if chart {
			files = map[string]string{"bad/Chart.yaml": "apiVersion: v2\nname: bad\nversion: 1.0.0\n", "bad/templates/a.yaml": text, "bad/values.yaml": values}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		objects, err := p.Folder(ctx, tree(files), load.Options{Dir: "bad", Namespace: "shop"})
		if err != nil && len(err.Error()) > (mostFindings+1)*5*mostText {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		for _, o := range objects {
			if !load.Applicable(o.Object) {
				t.Error("something that is no object came out")
			}
		}
		after, err := p.Folder(t.Context(), tree(patched), load.Options{Dir: "."})
		if err != nil {
			t.Fatal(err)
		}
		if known == "" {
			known = containers(t, after)
		}
		if containers(t, after) != known {
			t.Errorf("a neighbour is rendered as %s, not as %s", containers(t, after), known)
		}
	})
}

// FuzzRequest reads frames as a worker and as a host do.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("r\x00\x00\x00\x02{}"))
	f.Add([]byte("a\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		for _, limit := range []func(byte) int{limitFromHost, limitFromWorker} {
			r := strings.NewReader(string(stream))
			for {
				_, payload, err := readFrame(r, limit)
				if err != nil {
					break
				}
				if len(payload) > len(stream) {
					t.Error("a payload is longer than the stream")
				}
			}
		}
	})
}

// BenchmarkFolder renders 200 applications, half of them kustomizations, in this process and in workers.
func BenchmarkFolder(b *testing.B) {
	const applications = 200
	trees := make([]fs.FS, applications)
	for i := range trees {
		files := map[string]string{"web.yaml": strings.ReplaceAll(deployment, "web", fmt.Sprintf("web-%d", i)), "service.yaml": fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: web-%d}\nspec: {ports: [{port: 80}]}\n", i)}
		if i%2 == 0 {
			files["kustomization.yaml"] = "resources: [web.yaml, service.yaml]\nnamePrefix: prod-\n"
		}
		trees[i] = tree(files)
	}
	render := func(b *testing.B, one func(fs.FS) error) {
		b.Helper()
		for b.Loop() {
			for _, files := range trees {
				if err := one(files); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*applications), "µs/render")
	}
	b.Run("in-process", func(b *testing.B) {
		render(b, func(files fs.FS) error {
			_, err := load.Folder(files, load.Options{Dir: "."})
			return err
		})
	})
	// The workers are started within the measured time, and anew for each plan of 200.
	b.Run("worker", func(b *testing.B) {
		var p *Pool
		n := 0
		render(b, func(files fs.FS) error {
			if n%applications == 0 {
				if p != nil {
					p.Close()
				}
				p = New()
			}
			n++
			_, err := p.Folder(b.Context(), files, load.Options{Dir: "."})
			return err
		})
		p.Close()
	})
}
