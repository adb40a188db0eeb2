package drift_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
)

const (
	applications = 2000
	each         = 5
	foreign      = 10_000 // objects of others
)

// api serves objects with the metadata that a Deployment has, and a watch in which nothing happens.
func api(b *testing.B, listed chan<- struct{}) *cluster.Cluster {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/apis/apps/v1" || r.URL.Path == "/apis/apps" {
			fmt.Fprint(w, `{"kind": "APIResourceList", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1"}], "resources": [{"name": "deployments", "kind": "Deployment", "namespaced": true}]}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") != "" {
			w.(http.Flusher).Flush()
			close(listed)
			<-r.Context().Done()
			return
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		to := min(from+limit, applications*each+foreign)
		next := ""
		if to < applications*each+foreign {
			next = strconv.Itoa(to)
		}
		fmt.Fprintf(w, `{"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1", "continue": %q}, "items": [`, next)
		for i := from; i < to; i++ {
			if i > from {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"metadata": {"name": "deployment-%d", "namespace": "namespace-%d", "uid": %q, "generation": 1, "resourceVersion": "%d", "labels": {"app": "x"}, "managedFields": [
				{"manager": "davit", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}},
				 "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": {".": {}, "f:image": {}, "f:name": {}, "f:env": {}}}}}}}},
				{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:01Z", "fieldsType": "FieldsV1", "subresource": "status",
				 "fieldsV1": {"f:status": {"f:availableReplicas": {}, "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:status": {}}}}}}]}}`, i, i/each, uid(i), i)
		}
		fmt.Fprint(w, `]}`)
	}))
	b.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	file := filepath.Join(b.TempDir(), "kubeconfig")
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n", server.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := cluster.Connect(cluster.Access{Kubeconfig: file})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func uid(i int) string { return fmt.Sprintf("aaaaaaaa-bbbb-cccc-dddd-%012d", i) }

// BenchmarkWatch watches 10,000 objects of 2,000 applications, beside 10,000 of others, and reports what stays on the heap.
func BenchmarkWatch(b *testing.B) {
	for b.Loop() {
		listed := make(chan struct{})
		h := drift.NewHub(api(b, listed))
		before := heap()
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		for a := range applications {
			objects := map[drift.Key]types.UID{}
			for i := range each {
				n := a*each + i
				objects[drift.Key{GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"}, Namespace: fmt.Sprint("namespace-", a), Name: fmt.Sprint("deployment-", n)}] = types.UID(uid(n))
			}
			go func() {
				defer func() { done <- struct{}{} }()
				_ = h.Watch(ctx, drift.Application{ID: fmt.Sprint(a), Objects: objects}, func(n drift.Notice) { b.Errorf("told %v", n) })
			}()
		}
		<-listed
		time.Sleep(time.Second) // nothing is told
		b.ReportMetric(float64(heap()-before)/(1<<20), "MB-heap")
		b.ReportMetric(float64(heap()-before)/applications/each, "B/object")
		cancel()
		for range applications {
			<-done
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
