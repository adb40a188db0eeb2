package kubernetes_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// requests are what a proxy between davit and the API server has seen.
type requests struct {
	mu  sync.Mutex
	all []string // "GET /api/v1/namespaces/x"
}

// count makes davit talk to the API server through a proxy that counts, as the service account whose token it gets.
func (s *stack) count(token string) *requests {
	s.t.Helper()
	target, err := url.Parse(servers.Kubernetes.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the lab's own server
	r := &requests{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.all = append(r.all, request.Method+" "+request.URL.Path)
		r.mu.Unlock()
		proxy.ServeHTTP(w, request)
	}))
	s.t.Cleanup(server.Close)
	s.useToken(token)
	s.write(s.dir, "kubeconfig", strings.Replace(s.read("kubeconfig"), servers.Kubernetes.URL, server.URL, 1))
	return r
}

// take returns the requests until now, and forgets them.
func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func matching(all []string, method, part string) int {
	n := 0
	for _, line := range all {
		if strings.HasPrefix(line, method) && strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// A plan costs two requests an object: what is there, and what would be. Finding out whether a namespace may be deleted costs
// one for each kind that the cluster has.
func TestRequestsAreFew(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kubectl("create", "serviceaccount", s.namespace, "--namespace=default")
	s.kubectl("create", "clusterrolebinding", s.namespace, "--clusterrole=cluster-admin", "--serviceaccount=default:"+s.namespace)
	r := s.count(s.kubectl("create", "token", s.namespace, "--namespace=default"))
	const objects = 20
	var files []string
	for i := range objects {
		files = append(files, fmt.Sprintf("web/%d.yaml", i), strings.Replace(configMap, "settings", fmt.Sprintf("settings-%d", i), 1))
	}
	s.commit(files...)
	s.apply()
	r.take()
	s.unchanged("after the apply")
	plan := r.take()
	// Besides the objects: the namespace, and the one that identifies the cluster.
	if got, most := len(plan), 2*objects+2; got > most {
		t.Errorf("a plan made %d requests, at most %d are needed:\n%s", got, most, strings.Join(plan, "\n"))
	}
	if out, code := s.davit("plan", "-destroy"); code != 0 {
		t.Fatalf("the plan ended with %d:\n%s", code, out)
	}
	destroy := r.take()
	lists := matching(destroy, "GET", "/namespaces/"+s.namespace+"/") - objects
	// Besides the objects and the lists: the namespace, kube-system, and discovery.
	if rest := len(destroy) - objects - lists; rest > 4 || lists < 10 {
		t.Errorf("a plan to destroy made %d requests, %d of them lists:\n%s", len(destroy), lists, strings.Join(destroy, "\n"))
	}
	t.Logf("requests: %d for a plan of %d objects; %d for a plan to destroy them and their namespace, %d of them lists of one kind each", len(plan), objects, len(destroy), lists)
}
