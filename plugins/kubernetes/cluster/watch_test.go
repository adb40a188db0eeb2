package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// connectTo returns a connection to a server of the test.
func connectTo(t *testing.T, h http.HandlerFunc) *Cluster {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {token: t}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n", server.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(Access{Kubeconfig: file})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func meta(name, version string) string {
	return fmt.Sprintf(`{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": %q, "namespace": "shop", "uid": "u-%s", "resourceVersion": %q}}`, name, name, version)
}

// The watch goes on where the list, or the request before, has ended, and lists anew when the server has forgotten.
func TestWatch(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	watches := 0
	c := connectTo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1" {
			fmt.Fprint(w, `{"kind": "APIResourceList", "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}`)
			return
		}
		q := r.URL.Query()
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/api/v1/namespaces/shop/configmaps" || !strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
			t.Errorf("%s with %s", r.URL, r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", "application/json")
		if q.Get("watch") == "" {
			asked = append(asked, "list "+q.Get("continue"))
			switch {
			case q.Get("continue") == "":
				fmt.Fprintf(w, `{"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "10", "continue": "more"}, "items": [%s]}`, meta("a", "1"))
			default:
				fmt.Fprintf(w, `{"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "10"}, "items": [%s]}`, meta("b", "2"))
			}
			return
		}
		asked = append(asked, "watch from "+q.Get("resourceVersion"))
		watches++
		event := func(kind, object string) { fmt.Fprintf(w, `{"type": %q, "object": %s}`+"\n", kind, object) }
		switch watches {
		case 1:
			event("MODIFIED", meta("a", "11"))
			event("DELETED", meta("b", "12"))
			event("BOOKMARK", meta("", "20"))
		case 2:
			event("ERROR", `{"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}`)
		case 3:
			event("ADDED", meta("c", "21"))
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "User \"x\" cannot watch resource \"configmaps\" in API group \"\""}`)
		}
	})
	var seen []string
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := c.Watch(ctx, schema.GroupKind{Kind: "ConfigMap"}, "shop", func(s Sight) {
		seen = append(seen, fmt.Sprintf("%s %s listed=%t gone=%t", s.Name, s.Meta.UID, s.Listed, s.Gone))
	}, func() { seen = append(seen, "listed") })
	if !Forbidden(err) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{
		"a u-a listed=true gone=false", "b u-b listed=true gone=false", "listed",
		"a u-a listed=false gone=false", "b u-b listed=false gone=true",
		"a u-a listed=true gone=false", "b u-b listed=true gone=false", "listed",
		"c u-c listed=false gone=false",
	}, seen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"list ", "list more", "watch from 10", "watch from 20", "list ", "list more", "watch from 10", "watch from 21"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestWatchOfAnUnknownKind(t *testing.T) {
	c := connectTo(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "code": 404, "reason": "NotFound"})
	})
	err := c.Watch(t.Context(), schema.GroupKind{Group: "acme.io", Kind: "Zone"}, "", func(Sight) {}, func() {})
	if _, unknown := errors.AsType[*UnknownKindError](err); !unknown {
		t.Error(err)
	}
}
