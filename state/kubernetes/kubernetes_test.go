package kubernetes_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-sh/davit/state/kubernetes"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		config kubernetes.Config
		want   string // nothing: it is fine
	}{
		"enough":              {kubernetes.Config{Name: "shop"}, ""},
		"in a pod":            {kubernetes.Config{Name: "shop", Namespace: "davit", InCluster: true}, ""},
		"nothing":             {kubernetes.Config{}, "name is missing"},
		"capitals":            {kubernetes.Config{Name: "Shop"}, `name "Shop" cannot be part of a Secret's name`},
		"dots":                {kubernetes.Config{Name: "shop.prod"}, `name "shop.prod"`},
		"a path":              {kubernetes.Config{Name: "shop", Namespace: "../x"}, `namespace "../x"`},
		"a pod and a context": {kubernetes.Config{Name: "shop", InCluster: true, Context: "c"}, "remove one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The cluster and the namespace are those that kubectl would take.
func TestWhere(t *testing.T) {
	dir := t.TempDir()
	file := func(name, namespace string) string {
		text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "%[1]s",
"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
"users": [{"name": "c", "user": {"token": "hunter2"}}],
"contexts": [{"name": "%[1]s", "context": {"cluster": "c", "user": "c", "namespace": %[2]q}}]}`, name, namespace)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := file("one", "first"), file("two", "second")
	t.Setenv("KUBECONFIG", one+string(os.PathListSeparator)+two)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, c := range map[string]struct {
		config kubernetes.Config
		want   string
	}{
		"KUBECONFIG":          {kubernetes.Config{Name: "shop"}, "the Secrets davit.shop.* of namespace first"},
		"another context":     {kubernetes.Config{Name: "shop", Context: "two"}, "the Secrets davit.shop.* of namespace second"},
		"a file":              {kubernetes.Config{Name: "shop", Kubeconfig: two}, "the Secrets davit.shop.* of namespace second"},
		"a namespace":         {kubernetes.Config{Name: "shop", Namespace: "mine"}, "the Secrets davit.shop.* of namespace mine"},
		"no such context":     {kubernetes.Config{Name: "shop", Context: "three"}, "three"},
		"no such file":        {kubernetes.Config{Name: "shop", Kubeconfig: filepath.Join(dir, "none")}, "none"},
		"in no pod after all": {kubernetes.Config{Name: "shop", InCluster: true}, "this is not a pod with a service account"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := kubernetes.Open(t.Context(), c.config)
			if err == nil {
				err = s.Unlock(ended(t), "x") // which asks nothing of anybody, and says where it did not
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
