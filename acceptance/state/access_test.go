package state_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
)

func client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", l.APIServer.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serviceAccount makes one that may do what docs/state-backends.md says it must, and no more. It returns a token.
func serviceAccount(t testing.TB, leases bool) (token string) {
	t.Helper()
	c, name, ctx := client(t), fresh("davit"), t.Context()
	meta := metav1.ObjectMeta{Name: name, Namespace: "default"}
	rules := []rbac.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "create", "update", "delete"}}}
	if leases {
		rules = append(rules, rbac.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "patch"}})
	}
	if _, err := c.CoreV1().ServiceAccounts("default").Create(ctx, &core.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RbacV1().Roles("default").Create(ctx, &rbac.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbac.RoleBinding{ObjectMeta: meta, RoleRef: rbac.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: name},
		Subjects: []rbac.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "default"}}}
	if _, err := c.RbacV1().RoleBindings("default").Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request, err := c.CoreV1().ServiceAccounts("default").CreateToken(ctx, name, &authentication.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// withToken is the place as a service account sees it.
func (p place) withToken(t testing.TB, token, url, ca string) place {
	t.Helper()
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority": %q}}],
"users": [{"name": "c", "user": {"token": %q}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "c", "namespace": "default"}}]}`, url, ca, token)
	c := *p.kubernetes
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.kubernetes = &c
	return p
}

// What goes wrong with access is said so that a person can mend it, and without the secrets.
func TestAccessErrors(t *testing.T) {
	secret := "wJalrXUtnFEMI-" + fresh("secret")
	for name, c := range map[string]struct {
		place func(t *testing.T) place
		want  string
	}{
		"s3: a wrong secret": {func(t *testing.T) place {
			p := newS3(t)
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
			return p
		}, "SignatureDoesNotMatch"},
		"s3: an unknown key": {func(t *testing.T) place {
			p := newS3(t)
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
			return p
		}, "access key"},
		"s3: no bucket": {func(t *testing.T) place {
			p := newS3(t)
			p.s3.Bucket = "not-there"
			return p
		}, "the bucket not-there does not exist: create it first"},
		"kubernetes: a wrong token": {func(t *testing.T) place {
			return newKubernetes(t).withToken(t, secret, l.APIServer.URL, l.APIServer.CA)
		}, "Unauthorized"},
		"kubernetes: another namespace": {func(t *testing.T) place {
			p := newKubernetes(t).withToken(t, serviceAccount(t, true), l.APIServer.URL, l.APIServer.CA)
			p.kubernetes.Namespace = "kube-system"
			return p
		}, "davit needs get, list, create, update and delete on secrets in namespace kube-system"},
		"kubernetes: no namespace": {func(t *testing.T) place {
			p := newKubernetes(t)
			p.kubernetes.Namespace = "not-there"
			return p
		}, "create the namespace not-there first"},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.place(t).open(t)
			_, err := s.Lock(t.Context(), state.Holder{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			_, load := s.Load(t.Context())
			if text := fmt.Sprintf("%+v %#v %+v", err, err, load); strings.Contains(text, secret) {
				t.Errorf("the secret is in %s", text)
			}
			t.Log(err)
		})
	}
}

// People see who has the state locked, by the means of the cluster.
func TestLeaseObject(t *testing.T) {
	p := newKubernetes(t)
	lease := lock(t, p.open(t))
	get := func() string {
		o, err := client(t).CoordinationV1().Leases("default").Get(t.Context(), "davit."+p.kubernetes.Name, metav1.GetOptions{})
		if err != nil || o.Spec.HolderIdentity == nil {
			return ""
		}
		return *o.Spec.HolderIdentity
	}
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(get(), "a@here (test, process") && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if holder := get(); !strings.Contains(holder, "a@here (test, process") {
		t.Errorf("the Lease says %q", holder)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if holder := get(); holder != "" {
		t.Errorf("after the release the Lease says %q", holder)
	}
}

// Secrets that the first versions of davit made have other labels and another type, which cannot be changed.
func TestSecretsOfTheFirstVersions(t *testing.T) {
	p := newKubernetes(t)
	lease := lock(t, p.open(t))
	if _, err := lease.Commit(t.Context(), state.Batch{Put: []state.Record{{Address: "a.b.c"}}}); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	secrets := client(t).CoreV1().Secrets("default")
	list, err := secrets.List(t.Context(), metav1.ListOptions{LabelSelector: "davit.sh/stack=" + p.kubernetes.Name})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("%d Secrets, %v", len(list.Items), err)
	}
	for _, s := range list.Items {
		if err := secrets.Delete(t.Context(), s.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		old := &core.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: map[string]string{"app.kubernetes.io/managed-by": "davit", "davit.dev/stack": p.kubernetes.Name}},
			Type: "davit.dev/state", Immutable: s.Immutable, Data: s.Data}
		if _, err := secrets.Create(t.Context(), old, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	store := p.open(t)
	lease = lock(t, store)
	if _, err := lease.Commit(t.Context(), state.Batch{Put: []state.Record{{Address: "a.b.d"}}}); err != nil {
		t.Fatal(err)
	}
	snapshot, err := store.Load(t.Context())
	if err != nil || len(snapshot.Records) != 2 {
		t.Errorf("%v, %v", snapshot, err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A state moves from one backend to another and back with all that it holds, and stays what it was.
func TestMigrate(t *testing.T) {
	from, err := local.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	lease := lock(t, from)
	for i := range 30 {
		r := real(i%10, i)
		batch := state.Batch{Put: []state.Record{r}, History: []state.Revision{{Action: "update", Record: r}}, Outputs: map[string]json.RawMessage{"n": json.RawMessage(`1`)}}
		if i == 29 {
			batch.Begin = []state.Operation{{ID: "cut off", Address: r.Address, Kind: r.Kind, Type: r.Type, Action: "update"}}
		}
		if _, err := lease.Commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := from.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var source state.Store = from
	who := state.Holder{Who: "somebody@here", What: "davit init -migrate-state"}
	back, err := local.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []state.Store{newS3(t).open(t), newKubernetes(t).open(t), newS3(t).open(t), back} {
		m, err := state.Migrate(t.Context(), source, to, who)
		if err != nil || m.Records != 10 || m.Revisions != 30 || m.Operations != 1 || m.Outputs != 1 || m.Already {
			t.Fatalf("%+v %v", m, err)
		}
		if m, err = state.Migrate(t.Context(), source, to, who); err != nil || !m.Already {
			t.Errorf("again: %+v %v", m, err)
		}
		got, err := to.Archive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		source = to
	}
}
