package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
)

var deployment = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

// server is a cluster with Deployments.
type server struct {
	mu        sync.Mutex
	objects   map[string]*unstructured.Unstructured // "namespace/name"
	watches   map[chan cluster.Sight]string         // by namespace
	forbidden string                                // namespace that may not be watched; "*" is all of them together
	down      error
	lists     []string
	reads     int
}

func newServer() *server {
	return &server{objects: map[string]*unstructured.Unstructured{}, watches: map[chan cluster.Sight]string{}}
}

// put makes or changes an object; its fields are those that davit manages.
func (s *server) put(name, uid, fields, other string, ready bool) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	namespace, short, _ := strings.Cut(name, "/")
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(deployment)
	u.SetNamespace(namespace)
	u.SetName(short)
	u.SetUID(types.UID(uid))
	u.SetGeneration(1)
	u.SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "davit", Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:` + fields + `":{}}}`)},
		{Manager: other, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{}}`)},
	})
	available, status := int64(0), "False"
	if ready {
		available, status = 1, "True"
	}
	u.Object["spec"] = map[string]any{"replicas": int64(1)}
	u.Object["status"] = map[string]any{"observedGeneration": int64(1), "replicas": int64(1), "updatedReplicas": int64(1), "readyReplicas": available, "availableReplicas": available,
		"conditions": []any{map[string]any{"type": "Available", "status": status}}}
	s.objects[name] = u
	s.send(namespace, cluster.Sight{Found: found(u)})
	return u
}

func (s *server) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.objects[name]
	delete(s.objects, name)
	s.send(u.GetNamespace(), cluster.Sight{Found: found(u), Gone: true})
}

func (s *server) send(namespace string, x cluster.Sight) {
	for c, n := range s.watches {
		if n == "" || n == namespace {
			c <- x
		}
	}
}

func found(u *unstructured.Unstructured) cluster.Found {
	return cluster.Found{Ref: cluster.RefOf(u), Meta: metav1.ObjectMeta{UID: u.GetUID(), Generation: u.GetGeneration(), ManagedFields: u.GetManagedFields()}}
}

func (s *server) Watch(ctx context.Context, _ schema.GroupKind, namespace string, see func(cluster.Sight), listed func()) error {
	s.mu.Lock()
	s.lists = append(s.lists, namespace)
	if s.forbidden == namespace+"*" {
		s.mu.Unlock()
		return &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: `User "x" cannot list resource "deployments" in API group "apps"`}}
	}
	if s.down != nil {
		s.mu.Unlock()
		return s.down
	}
	var all []cluster.Sight
	for _, u := range s.objects {
		if namespace == "" || u.GetNamespace() == namespace {
			all = append(all, cluster.Sight{Found: found(u), Listed: true})
		}
	}
	c := make(chan cluster.Sight, 100)
	s.watches[c] = namespace
	s.mu.Unlock()
	for _, x := range all {
		see(x)
	}
	listed()
	for {
		select {
		case x, open := <-c:
			if !open {
				return errors.New("the connection broke")
			}
			see(x)
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watches, c)
			return ctx.Err()
		}
	}
}

// cut ends all watches.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.watches {
		close(c)
		delete(s.watches, c)
	}
}

func (s *server) open() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, n := range s.watches {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func (s *server) Get(_ context.Context, ref cluster.Ref) (*unstructured.Unstructured, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if u := s.objects[ref.Namespace+"/"+ref.Name]; u != nil {
		return u.DeepCopy(), nil
	}
	return nil, s.down
}

func (s *server) List(context.Context, schema.GroupVersionKind, string, string) ([]unstructured.Unstructured, error) {
	return nil, nil
}

func (s *server) Logs(context.Context, string, string, string, int, bool) (string, error) {
	return "", nil
}

// listener is one application that is watched.
type listener struct {
	mu   sync.Mutex
	told []string
	err  error
	stop context.CancelFunc
}

func listen(t *testing.T, h *Hub, id string, objects ...string) *listener {
	t.Helper()
	l := &listener{}
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	a := Application{ID: id, Objects: map[Key]types.UID{}, Health: "Current"}
	for _, o := range objects {
		name, uid, _ := strings.Cut(o, "@")
		namespace, short, _ := strings.Cut(name, "/")
		a.Objects[Key{deployment.GroupKind(), namespace, short}] = types.UID(uid)
	}
	go func() {
		err := h.Watch(ctx, a, func(n Notice) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.told = append(l.told, strings.TrimSpace(n.Reason+" "+n.Health))
		})
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
	}()
	return l
}

// want checks what was told since the last time.
func (l *listener) want(t *testing.T, what string, want ...string) {
	t.Helper()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(want, l.told); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
	l.told = nil
}

func (l *listener) ended() error {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func ref(name string) cluster.Ref {
	namespace, short, _ := strings.Cut(name, "/")
	return cluster.Ref{GroupVersionKind: deployment, Namespace: namespace, Name: short}
}

// bubble runs a test in time of its own, and waits for what lingers.
func bubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(3 * linger)
	})
}

func TestChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		s.put("shop/web", "1", "a", "controller", true)
		s.put("shop/foreign", "9", "a", "controller", true)
		a := listen(t, h, "a", "shop/web@1")
		defer a.stop()
		a.want(t, "nothing has changed")
		if n := len(h.objects); n != 1 {
			t.Errorf("%d objects are kept", n)
		}
		s.put("shop/foreign", "9", "b", "kubectl-edit", true)
		s.put("shop/web", "1", "a", "controller", true)
		a.want(t, "a status, and what is not ours")
		s.put("shop/web", "1", "a", "kubectl-edit", true)
		a.want(t, "a person has edited it", "Deployment/web was changed")
		s.put("shop/web", "1", "a", "kubectl-edit", true)
		a.want(t, "it is told once")
		s.put("shop/web", "1", "b", "controller", true)
		a.want(t, "a field was taken", "Deployment/web was changed")
		s.remove("shop/web")
		a.want(t, "it was deleted", "Deployment/web was deleted")
		s.put("shop/web", "2", "a", "controller", true)
		a.want(t, "somebody has made another", "Deployment/web was changed")
	})
}

// What davit writes is no change, whether the event or the answer comes first.
func TestOwnWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		h.Note(ref("shop/web"), s.put("shop/web", "1", "a", "controller", true))
		a := listen(t, h, "a", "shop/web@1")
		defer a.stop()
		a.want(t, "nothing has changed")
		done := h.Busy("a")
		u := s.put("shop/web", "1", "b", "controller", true)
		time.Sleep(10 * time.Second) // the answer takes long
		h.Note(ref("shop/web"), u)
		done()
		a.want(t, "davit has applied it")
		h.Note(ref("shop/web"), s.put("shop/web", "1", "c", "controller", true))
		a.want(t, "and again")
		done = h.Busy("a")
		s.remove("shop/web")
		h.Note(ref("shop/web"), nil)
		done()
		a.want(t, "davit has deleted it")
		// Somebody interferes while davit works.
		done = h.Busy("a")
		h.Note(ref("shop/web"), s.put("shop/web", "3", "c", "controller", true))
		s.put("shop/web", "3", "d", "controller", true)
		a.want(t, "davit is at work")
		done()
		a.want(t, "davit has done", "Deployment/web was changed")
		// A look at it is a reaction.
		u, _ = s.Get(t.Context(), ref("shop/web"))
		h.Note(ref("shop/web"), u)
		s.put("shop/web", "3", "d", "controller", true)
		a.want(t, "it was looked at")
	})
}

// What happens while nobody watches is told when somebody does: the inventory's identities and what was read are compared with.
func TestGaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		h.Note(ref("shop/web"), s.put("shop/web", "1", "a", "controller", true))
		s.put("shop/web", "1", "b", "controller", true)
		s.put("shop/api", "7", "a", "controller", true)
		a := listen(t, h, "a", "shop/web@1", "shop/api@2", "shop/gone@3")
		defer a.stop()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		slices.Sort(a.told)
		a.want(t, "at first", "Deployment/api is another one than before", "Deployment/gone was deleted", "Deployment/web was changed")
		s.cut()
		s.put("shop/web", "1", "c", "controller", true)
		s.remove("shop/api")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		slices.Sort(a.told)
		a.want(t, "after a gap", "Deployment/api was deleted", "Deployment/web was changed")
		// An application that comes later has objects that were dropped when they were listed.
		b := listen(t, h, "b", "shop/late@5")
		defer b.stop()
		b.want(t, "it comes later", "Deployment/late was deleted")
	})
}

func TestOneWatchForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		var all []*listener
		for i := range 3 {
			all = append(all, listen(t, h, fmt.Sprint(i), fmt.Sprintf("n%d/web", i), fmt.Sprintf("n%d/api", i)))
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"n0", "n1", "n2"}, s.open()); diff != "" {
			t.Error(diff)
		}
		for i := range 50 {
			all = append(all, listen(t, h, fmt.Sprint("more", i), fmt.Sprintf("m%d/web", i)))
		}
		time.Sleep(2 * linger)
		if diff := cmp.Diff([]string{""}, s.open()); diff != "" {
			t.Error(diff)
		}
		for _, l := range all[1:] {
			l.stop()
		}
		time.Sleep(3 * linger)
		if diff := cmp.Diff([]string{"n0"}, s.open()); diff != "" {
			t.Error(diff)
		}
		all[0].stop()
		time.Sleep(3 * linger)
		open := s.open()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.objects)+len(h.watchers)+len(open) != 0 {
			t.Errorf("left are %v, %v, %v", h.objects, h.watchers, open)
		}
	})
}

// Who may not watch all namespaces watches each.
func TestForbidden(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		s.forbidden = "*"
		h := NewHub(s)
		var all []*listener
		for i := range 5 {
			all = append(all, listen(t, h, fmt.Sprint(i), fmt.Sprintf("n%d/web", i)))
			defer all[i].stop()
		}
		time.Sleep(2 * linger)
		if open := s.open(); len(open) != 5 || all[0].ended() != nil {
			t.Errorf("open: %q, %v", open, all[0].ended())
		}
		s.mu.Lock()
		s.forbidden = "n9*"
		s.mu.Unlock()
		no := listen(t, h, "no", "n9/web")
		time.Sleep(2 * time.Second)
		if err := no.ended(); err == nil || !strings.Contains(err.Error(), "cannot list resource") {
			t.Error(err)
		}
	})
}

// A server that does not answer ends the watches after a while; what has happened meanwhile is told afterwards.
func TestServerIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		h.Note(ref("shop/web"), s.put("shop/web", "1", "a", "controller", true))
		a := listen(t, h, "a", "shop/web@1")
		a.want(t, "nothing has changed")
		s.mu.Lock()
		s.down = errors.New("connection refused")
		s.mu.Unlock()
		s.cut()
		time.Sleep(time.Minute)
		if err := a.ended(); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		s.put("shop/web", "1", "b", "controller", true)
		b := listen(t, h, "a", "shop/web@1")
		b.want(t, "the identity is the same, and what it was like is forgotten")
		b.stop()
		time.Sleep(2 * linger)
	})
}

func TestAbandon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := NewHub(newServer())
		a := listen(t, h, "a", "shop/web")
		time.Sleep(time.Second)
		other := errors.New("another kubeconfig")
		h.Abandon(other)
		if err := a.ended(); !errors.Is(err, other) {
			t.Error(err)
		}
	})
}

func TestHealth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer()
		h := NewHub(s)
		s.put("shop/web", "1", "a", "controller", true)
		s.put("shop/api", "2", "a", "controller", true)
		a := listen(t, h, "a", "shop/web@1", "shop/api@2")
		defer a.stop()
		a.want(t, "all is well")
		s.put("shop/web", "1", "a", "controller", false)
		a.want(t, "a pod has died", "Deployment/web: 0 of 1 updated replicas are available InProgress")
		s.put("shop/api", "2", "a", "controller", false)
		a.want(t, "another one too")
		s.put("shop/web", "1", "a", "controller", true)
		a.want(t, "the other one is not well yet")
		s.put("shop/api", "2", "a", "controller", true)
		a.want(t, "all is well again", "Deployment/api: 1 of 1 updated replicas are available Current")
		// An object whose status is written all the time is not read all the time.
		s.mu.Lock()
		s.reads = 0
		s.mu.Unlock()
		for range 600 {
			s.put("shop/web", "1", "a", "controller", true)
			time.Sleep(time.Second)
		}
		if s.reads > 20 {
			t.Errorf("%d reads in 10 minutes", s.reads)
		}
		a.want(t, "all is well still")
	})
}
