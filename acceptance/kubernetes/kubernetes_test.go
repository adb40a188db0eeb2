// Package kubernetes_test tests application "kubernetes" as people use it: the davit command,
// a Git repository, and a real cluster with a real node.
package kubernetes_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/lab"
)

const (
	password = "hunter2-hunter2"
	encoded  = "aHVudGVyMi1odW50ZXIy"

	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: blue}\n"
	secret    = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: " + password + "}\n"
	service   = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n"
)

func image() string { return servers.Registry.Image(lab.Busybox) }

// deployment runs a pod that answers as ready at once.
func deployment(replicas int, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: api, image: %q, command: [sleep, "100000"], env: [{name: MODE, value: fast}]}
`, replicas, image)
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestLifeOfAnApplication(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/all.yaml", deployment(1, image())+"---\n"+secret+"---\n"+configMap+"---\n"+service)
	equal(t, "the first plan", s.changes(), []string{"because it is new", "create Namespace NS", "create ConfigMap NS/settings", "create Secret NS/login", "create Service NS/web", "create Deployment NS/web"})
	if _, err := s.tryKubectl("get", "namespace", s.namespace); err == nil {
		t.Error("the plan made the namespace")
	}
	s.apply()
	if got := s.kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas} {.metadata.managedFields[0].manager}"); got != "1 davit" {
		t.Errorf("after the apply: %s", got)
	}
	s.unchanged("after the apply")
	s.commit("web/all.yaml", deployment(1, image())+"---\n"+secret+"---\n"+configMap+"---\n"+service, "README.md", "an unrelated commit")
	s.unchanged("after an unrelated commit")

	s.kubectl("patch", "deployment", "web", "--patch", `{"metadata":{"labels":{"by":"hand"}},"spec":{"template":{"spec":{"containers":[{"name":"api","env":[{"name":"MODE","value":"slow"},{"name":"DEBUG","value":"1"}]}]}}}}`)
	s.kubectl("patch", "secret", "login", "--patch", `{"stringData":{"password":"`+password+`-drifted"}}`)
	s.kubectl("delete", "configmap", "settings")
	equal(t, "drift", s.changes(), []string{
		"because ConfigMap/settings was deleted outside of davit", "because Secret/login was changed by kubectl-patch", "because Deployment/web was changed by kubectl-patch",
		"create ConfigMap NS/settings",
		`update Secret NS/login: data.password: "(sensitive)" -> "(sensitive)"`,
		`update Deployment NS/web: metadata.labels.by: "hand" -> -`,
		`update Deployment NS/web: spec.template.spec.containers[name=api].env[name=MODE].value: "slow" -> "fast"`,
		`update Deployment NS/web: spec.template.spec.containers[name=api].env[name=DEBUG].value: "1" -> -`,
	})
	s.apply()
	s.unchanged("after the drift was mended")
	if got := s.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env} {.metadata.labels}"); got != `[{"name":"MODE","value":"fast"}]` {
		t.Errorf("after the drift was mended: %s", got)
	}

	s.commit("web/all.yaml", deployment(2, image())+"---\n"+secret+"---\n"+strings.Replace(configMap, "blue", "green", 1))
	got := s.changes()
	equal(t, "a change", got[1:], []string{
		"because Service/web is no longer in the manifests",
		`update ConfigMap NS/settings: data.colour: "blue" -> "green"`, `update Deployment NS/web: spec.replicas: 1 -> 2`, "delete Service NS/web"})
	contains(t, got[0], "because the manifests changed (")
	contains(t, s.apply(), "of 2 updated replicas are available")
	s.gone("service/web")
	s.unchanged("after the change")

	out, code := s.davit("destroy", "-auto-approve", "-verbose")
	if code != 0 {
		t.Fatalf("destroy ended with %d:\n%s", code, out)
	}
	order(t, out, "Deployment/"+s.namespace+"/web: deleted", "Secret/"+s.namespace+"/login: deleted", "Namespace/"+s.namespace+": deleted")
	s.gone("namespace/" + s.namespace)
	s.noSecret(password, encoded)
}

// order says that texts follow one another.
func order(t *testing.T, text string, wants ...string) {
	t.Helper()
	rest := text
	for _, want := range wants {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("%q is not there, or not in its turn:\n%s", want, text)
			return
		}
		rest = after
	}
}

func TestDefinitionsAndTheirObjectsInOneApplication(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	group := strings.ReplaceAll(s.namespace, "-", "") + ".example.com"
	zone := "apiVersion: " + group + "/v1\nkind: Zone\nmetadata: {name: z}\nspec: {size: 3}\n"
	definition := fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zones.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: Zone, plural: zones}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}
`, group)
	s.commit("web/a-zone.yaml", zone, "web/definition.yaml", definition)
	s.apply()
	s.unchanged("after the apply")
	s.commit("web/a-zone.yaml", strings.Replace(zone, "size: 3", "sise: 3", 1), "web/definition.yaml", definition)
	s.fails("the cluster rejects Zone/z (web/a-zone.yaml:1)", "sise")
	s.commit("web/a-zone.yaml", strings.Replace(zone, "size: 3", "size: 4", 1), "web/definition.yaml", definition)
	equal(t, "a change", s.changes()[1:], []string{"update Zone NS/z: spec.size: 3 -> 4"})
	out, code := s.davit("destroy", "-auto-approve", "-verbose")
	if code != 0 {
		t.Fatalf("destroy ended with %d:\n%s", code, out)
	}
	order(t, out, "Zone/"+s.namespace+"/z: deleted", "Namespace/"+s.namespace+": deleted", "zones."+group+": deleted")
}

func TestAFailedRolloutIsReportedAndTheOldOneRunsOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/web.yaml", deployment(1, image()))
	s.apply()
	pod := s.kubectl("get", "pods", "-o", "name")
	missing := servers.Registry.Image("acme/missing:1")
	s.commit("web/web.yaml", deployment(1, missing))
	s.fails("Deployment/web did not become healthy", "image "+missing, "not found")
	if got := s.kubectl("get", pod, "-o", "jsonpath={.status.phase}"); got != "Running" {
		t.Errorf("the old pod is %s", got)
	}
	s.commit("web/web.yaml", deployment(1, image()))
	s.apply()
	s.unchanged("after the mended commit")
}

func TestAFailedApplyIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/web.yaml", strings.Replace(deployment(1, image()), "env:", "envFrom: [{configMapRef: {name: later}}], env:", 1))
	s.stack(s.application("web", ""))
	s.write(s.dir, "main.hcl", strings.ReplaceAll(s.read("main.hcl"), `"90s"`, `"4s"`))
	s.fails("did not become healthy in 4s", `configmap "later" not found`)
	out, code := s.davit("plan", "-detailed-exitcode")
	if code != 2 {
		t.Errorf("after a failed apply the plan ended with %d:\n%s", code, out)
	}
	contains(t, out, "waits for it again")
	s.kubectl("create", "configmap", "later")
	s.write(s.dir, "main.hcl", strings.ReplaceAll(s.read("main.hcl"), `"4s"`, `"90s"`))
	s.apply()
	s.unchanged("after the second try")
}

func (s *stack) read(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

func TestAFailedJobIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/job.yaml", fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: m, image: %q, command: [sh, -c, "echo no such table; exit 3"]}]}}
`, image()))
	s.fails("Job/migrate did not become healthy", "exit code 3", "no such table")
}

func TestWhatCannotBeChangedIsReplacedOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	job := func(annotation, word string) string {
		return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {%s}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: %q, command: [echo, %s]}]}}}
`, annotation, image(), word)
	}
	s.commit("web/job.yaml", job("", "one"))
	s.apply()
	before := s.kubectl("get", "job", "migrate", "-o", "jsonpath={.metadata.uid}")
	s.commit("web/job.yaml", job("", "two"))
	s.fails("Job/migrate (web/job.yaml:1) cannot be changed in place", "spec.template", "davit.sh/force")
	s.commit("web/job.yaml", job("davit.sh/force: enabled", "two"))
	if got := s.changes(); !slices.Contains(got, `replace Job NS/migrate: spec.template.spec.containers[name=m].command: ["echo","one"] -> ["echo","two"]`) {
		t.Errorf("the plan: %q", got)
	}
	s.apply()
	if after := s.kubectl("get", "job", "migrate", "-o", "jsonpath={.metadata.uid}"); after == before {
		t.Error("it is the same job")
	}
	s.unchanged("after the replacement")
}

func TestWhatIsNotDavitsIsKept(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/all.yaml", configMap+"---\n"+service)
	s.apply()
	// Another object takes the place of one that is to be pruned; somebody uses the namespace.
	s.kubectl("delete", "configmap", "settings")
	s.kubectl("create", "configmap", "settings", "--from-literal=mine=yes")
	s.kubectl("create", "configmap", "precious")
	s.commit("web/all.yaml", service)
	s.unchanged("after the object became somebody else's")
	out, code := s.davit("destroy", "-auto-approve", "-verbose")
	if code != 0 {
		t.Fatalf("destroy ended with %d:\n%s", code, out)
	}
	contains(t, out, "kept: it contains objects of others: ConfigMap/precious, ConfigMap/settings")
	s.gone("service/web")
	s.kubectl("get", "configmap", "precious", "settings")
}

func TestAnObjectThatMovesIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.stack(s.application("web", ""), s.application("other", ""))
	s.commit("web/a.yaml", configMap, "web/b.yaml", service, "other/c.yaml", strings.Replace(configMap, "settings", "c", 1))
	s.apply()
	before := s.kubectl("get", "service", "web", "-o", "jsonpath={.metadata.uid}")
	s.commit("web/a.yaml", configMap, "other/b.yaml", service, "other/c.yaml", strings.Replace(configMap, "settings", "c", 1))
	s.apply()
	if after := s.kubectl("get", "service", "web", "-o", "jsonpath={.metadata.uid}"); after != before {
		t.Error("it was deleted and created")
	}
	s.unchanged("after the move")
	s.commit("web/a.yaml", configMap, "web/b.yaml", service, "other/b.yaml", service)
	out, code := s.davit("plan")
	if code != 1 {
		t.Errorf("the plan ended with %d", code)
	}
	contains(t, out, "two owners of one thing", "application.kubernetes.other", "application.kubernetes.web")
}

func TestWhatKubectlMadeIsAdopted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kubectl("create", "namespace", s.namespace)
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(configMap+"---\n"+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s.kubectl("apply", "--filename", file)
	s.commit("web/a.yaml", strings.Replace(configMap, "colour: blue", "size: large", 1)+"---\n"+secret)
	equal(t, "the plan", s.changes(), []string{"because it is new", "adopt ConfigMap NS/settings", "adopt Secret NS/login"})
	s.apply()
	if got := s.kubectl("get", "configmap", "settings", "-o", "jsonpath={.data}"); got != `{"size":"large"}` {
		t.Errorf("the data: %s", got)
	}
	s.unchanged("after the adoption")
	if out, code := s.davit("destroy", "-auto-approve", "-verbose"); code != 0 {
		t.Fatalf("destroy ended with %d:\n%s", code, out)
	}
	s.kubectl("get", "namespace", s.namespace) // it was there before davit
	s.gone("configmap/settings")
	s.noSecret(password, encoded)
}

func TestAKilledApplyLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/all.yaml", deployment(1, servers.Registry.Image("acme/missing:1"))+"---\n"+configMap)
	apply := s.command(t.Context(), "apply", "-auto-approve")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		if _, err := s.tryKubectl("get", "deployment", "web"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the deployment does not appear")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	apply.Wait() //nolint:errcheck // it was killed
	// What it had made is known: another revision without it prunes it.
	s.commit("web/all.yaml", secret)
	s.apply()
	s.gone("deployment/web")
	s.gone("configmap/settings")
	s.unchanged("after the next apply")
}

func TestWhatTheServerSaysIsSaidPlainly(t *testing.T) {
	t.Parallel()
	good := deployment(1, image())
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"a field that does not exist": {strings.Replace(good, "replicas", "replcas", 1), []string{"the cluster rejects Deployment/web (web/a.yaml:1)", ".spec.replcas: field not declared in schema"}},
		"a value of the wrong type":   {strings.Replace(good, "replicas: 1", "replicas: one", 1), []string{".spec.replicas: expected numeric"}},
		"a misspelt kind":             {strings.Replace(good, "Deployment", "Deploymnet", 1), []string{"does not know the kind of Deploymnet/web", "Did you mean Deployment?"}},
		"a Secret that is not base64": {"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: " + password + "!}\n", []string{"rejects Secret/s", "illegal base64"}},
		"a selector that misses":      {strings.Replace(good, "labels: {app: web}", "labels: {app: other}", 1), []string{"`selector` does not match template `labels`"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.t = t
			s.commit("web/a.yaml", test.manifest)
			out, code := s.davit("plan")
			if code != 1 {
				t.Errorf("the plan ended with %d:\n%s", code, out)
			}
			contains(t, out, test.want...)
			s.noSecret(password)
		})
	}
	t.Run("an admission policy", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.kubectl("create", "namespace", s.namespace)
		s.kubectl("create", "quota", "none", "--hard=configmaps=0")
		s.commit("web/a.yaml", configMap)
		s.fails("cannot apply ConfigMap/settings (web/a.yaml:1)", "exceeded quota")
	})
}

func TestAUserWhoMayNotDoIt(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kubectl("create", "namespace", s.namespace)
	s.kubectl("create", "serviceaccount", "ci")
	s.kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps")
	s.kubectl("create", "rolebinding", "ci", "--role=reader", "--serviceaccount="+s.namespace+":ci")
	token := s.kubectl("create", "token", "ci")
	s.kube = filepath.Join(s.dir, "kubeconfig")
	s.write(s.dir, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: ci, user: {token: %s}}]
contexts: [{name: shop, context: {cluster: c, user: ci}}]
current-context: shop
`, servers.Kubernetes.URL, token))
	s.commit("web/a.yaml", configMap)
	out, code := s.davit("plan")
	if code != 1 {
		t.Errorf("the plan ended with %d", code)
	}
	contains(t, out, `not allowed to patch configmaps in namespace "`+s.namespace+`"`, `ConfigMap/settings (web/a.yaml:1)`, `verb "patch"`)
	// With that right, it needs none to look at namespaces.
	s.kubectl("create", "role", "writer", "--verb=get,patch,create,delete", "--resource=configmaps")
	s.kubectl("create", "rolebinding", "ci-writes", "--role=writer", "--serviceaccount="+s.namespace+":ci")
	s.apply()
	s.unchanged("after the apply")

	s.write(s.dir, "kubeconfig", strings.Replace(s.read("kubeconfig"), token, "wrong", 1))
	out, _ = s.davit("plan")
	contains(t, out, "refused the credentials of context \"shop\"")
	s.write(s.dir, "kubeconfig", strings.Replace(s.read("kubeconfig"), servers.Kubernetes.URL, "https://127.0.0.1:1", 1))
	out, _ = s.davit("plan")
	contains(t, out, "https://127.0.0.1:1 cannot be reached", "connection refused")
	if strings.Contains(s.said.String(), token) {
		t.Error("the token is in the output")
	}
}

func TestAnInterruptedApplyEndsSoonAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/web.yaml", strings.Replace(deployment(1, image()), "env:", "envFrom: [{configMapRef: {name: never}}], env:", 1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	apply := s.command(ctx, "apply", "-auto-approve")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := s.tryKubectl("get", "deployment", "web"); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the deployment does not appear")
		}
		time.Sleep(10 * time.Millisecond)
	}
	// Once: what runs may end well. Twice: now.
	for range 2 {
		if err := apply.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := apply.Wait(); err == nil || ctx.Err() != nil {
		t.Errorf("it ended with %v", err)
	}
	if out, code := s.davit("destroy", "-auto-approve", "-verbose"); code != 0 {
		t.Errorf("destroy ended with %d:\n%s", code, out)
	}
	s.gone("deployment/web")
}
