package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
)

func show(t *testing.T, what string, v any) {
	t.Helper()
	b, _ := json.MarshalIndent(v, "", "  ")
	fmt.Printf("---- %s\n%s\n", what, b)
}

func TestDev(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	write := func(name, text string) {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("d/web.yaml", `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: api
        image: acme/api:dev
        ports: [{containerPort: 8080}]
        env: [{name: A, value: b}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {password: hunter2hunter2}
`)
	app := New()
	call := &sdk.TestCall{Host: sdk.Host{StackDir: dir, CacheDir: t.TempDir()}}
	ctx = call.Context(ctx)
	c := Config{Config: render.Config{Source: sdk.SourceRef{Revision: "r1", Tree: sdk.Tree{Path: dir}}, Path: "d", Namespace: fmt.Sprintf("t%d", time.Now().Unix()), CreateNamespace: true,
		Images: map[string]sdk.Value[string]{"acme/api": sdk.UnknownPrefix("reg/api:1.0.1@")}},
		Kubeconfig: "/tmp/kdev/kubeconfig-admin", Timeout: sdk.Duration(20 * time.Second), Prune: true, ForceConflicts: true}
	start := time.Now()
	plan, err := app.Plan(ctx, sdk.PlanRequest[Config, Outputs]{Address: "application.kubernetes.web", Config: c})
	fmt.Println("first plan", time.Since(start))
	if err != nil {
		t.Fatal(err)
	}
	show(t, "plan", plan)
	c.Images["acme/api"] = sdk.Known("reg/api:1.0.1@sha256:" + "1111111111111111111111111111111111111111111111111111111111111111")
	start = time.Now()
	res, err := app.Apply(ctx, sdk.ApplyRequest[Config, Outputs]{Address: "application.kubernetes.web", Config: c, Private: plan.Private})
	fmt.Println("apply", time.Since(start))
	show(t, "result", res.Outputs)
	fmt.Println(string(res.Private))
	if err != nil {
		t.Fatal(err)
	}
	rec := &sdk.Record[Config, Outputs]{Config: c, Outputs: res.Outputs, Private: res.Private}
	replan := func(name string) sdk.PlanResult[Outputs] {
		start = time.Now()
		plan, err := app.Plan(ctx, sdk.PlanRequest[Config, Outputs]{Address: "application.kubernetes.web", Config: c, Prior: rec})
		fmt.Println(name, time.Since(start))
		if err != nil {
			t.Fatal(err)
		}
		show(t, name, plan)
		return plan
	}
	replan("second plan")
	app = New()
	replan("cold plan")
	fmt.Println(call.Logs)
}
