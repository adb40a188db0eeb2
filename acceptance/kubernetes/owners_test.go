package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// items is a plan as its items with their notes: "delete Namespace NS: with everything in it: 1 Role".
func (s *stack) items(args ...string) []string {
	s.t.Helper()
	out, code := s.davit(append([]string{"plan", "-json"}, args...)...)
	if code != 0 {
		s.t.Fatalf("plan ended with %d:\n%s", code, out)
	}
	var plan struct {
		Changes []struct {
			Items []struct{ Kind, Name, Action, Note string }
		}
	}
	if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &plan); err != nil {
		s.t.Fatalf("%v:\n%s", err, out)
	}
	var lines []string
	for _, c := range plan.Changes {
		for _, i := range c.Items {
			lines = append(lines, strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintf("%s %s %s: %s", i.Action, i.Kind, i.Name, i.Note), ": "), s.namespace, "NS"))
		}
	}
	return lines
}

func (s *stack) destroy() string {
	s.t.Helper()
	out, code := s.davit("destroy", "-auto-approve", "-verbose")
	if code != 0 {
		s.t.Fatalf("destroy ended with %d:\n%s", code, out)
	}
	return out
}

// create makes objects with kubectl.
func (s *stack) create(manifest string) {
	s.t.Helper()
	s.write(s.dir, "by-hand.yaml", manifest)
	s.kubectl("create", "--filename", s.dir+"/by-hand.yaml")
}

// group is an API group that nobody else uses.
func (s *stack) group() string { return strings.ReplaceAll(s.namespace, "-", "") + ".example.com" }

// zones defines the kind Zone of a stack's own group, in these versions; the first one is stored.
func (s *stack) zones(versions ...string) string {
	text := fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zones.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: Zone, plural: zones}
  versions:
`, s.group())
	for i, v := range versions {
		text += fmt.Sprintf("  - {name: %s, served: true, storage: %t, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}\n", v, i == 0)
	}
	return text
}

func (s *stack) zone(version, name string) string {
	return fmt.Sprintf("apiVersion: %s/%s\nkind: Zone\nmetadata: {name: %s}\nspec: {size: 3}\n", s.group(), version, name)
}

// define makes the kind Zone and waits until it is served.
func (s *stack) define(versions ...string) {
	s.t.Helper()
	s.create(s.zones(versions...))
	s.kubectl("wait", "--for=condition=Established", "crd/zones."+s.group())
	s.t.Cleanup(func() { s.tryKubectl("delete", "crd", "zones."+s.group(), "--wait=false") }) //nolint:errcheck // the cluster ends soon
}

// A namespace that davit has made is deleted when nothing of others is in it. What is of others can be of any kind.
func TestANamespaceThatOthersUseIsKept(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		put  func(*stack)
		want string
	}{
		"a custom resource": {func(s *stack) { s.define("v1"); s.create(s.zone("v1", "z")) }, "Zone/z"},
		"a role":            {func(s *stack) { s.kubectl("create", "role", "r", "--verb=get", "--resource=pods") }, "Role/r"},
		"a network policy": {func(s *stack) {
			s.create("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {}}\n")
		}, "NetworkPolicy/np"},
		"a replica set": {func(s *stack) {
			s.create(fmt.Sprintf("apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: rs}\nspec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: %q}]}}}\n", image()))
		}, "ReplicaSet/rs"},
		"its own object that is to be kept": {func(s *stack) {
			s.commit("web/a.yaml", service, "web/b.yaml", strings.Replace(configMap, "{name: settings}", "{name: settings, annotations: {davit.sh/prune: disabled}}", 1))
			s.apply()
		}, "ConfigMap/settings"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.commit("web/a.yaml", service)
			s.apply()
			test.put(s)
			kept := "Namespace/" + s.namespace + " is kept: it contains objects of others: " + test.want
			out, _ := s.davit("plan", "-destroy")
			contains(t, out, kept)
			contains(t, s.destroy(), kept)
			s.gone("service/web")
			if got := s.kubectl("get", "namespace", s.namespace, "-o", "jsonpath={.status.phase}"); got != "Active" {
				t.Errorf("the namespace is %s", got)
			}
		})
	}
	t.Run("what cannot be listed", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.commit("web/a.yaml", configMap)
		s.apply()
		s.kubectl("create", "serviceaccount", "ci", "--namespace=default")
		s.kubectl("create", "clusterrole", s.namespace, "--verb=*", "--resource=namespaces,configmaps")
		s.kubectl("create", "clusterrolebinding", s.namespace, "--clusterrole="+s.namespace, "--serviceaccount=default:ci")
		s.useToken(s.kubectl("create", "token", "ci", "--namespace=default"))
		contains(t, s.destroy(), "Namespace/"+s.namespace+" is kept: it may contain objects of others: cannot list", "(not allowed)")
		s.gone("configmap/settings")
		s.kubectl("get", "namespace", s.namespace)
	})
}

// useToken makes davit a service account.
func (s *stack) useToken(token string) {
	s.t.Helper()
	s.kube = s.dir + "/kubeconfig"
	s.write(s.dir, "kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: ci, user: {token: %s}}]
contexts: [{name: shop, context: {cluster: c, user: ci}}]
current-context: shop
`, servers.Kubernetes.URL, token))
}

func TestAnotherNamespaceLeavesTheOldOneToItsUsers(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{true, false} {
		t.Run(fmt.Sprintf("used=%t", used), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.commit("web/a.yaml", configMap)
			s.apply()
			if used {
				s.kubectl("create", "role", "r", "--verb=get", "--resource=pods")
			}
			s.stack(strings.Replace(s.application("web", ""), s.namespace, s.namespace+"-new", 1))
			out := s.apply()
			if !used {
				s.gone("namespace/" + s.namespace)
				return
			}
			contains(t, out, "Namespace/"+s.namespace+" is kept: it contains objects of others: Role/r")
			s.gone("configmap/settings")
			s.kubectl("get", "role", "r")
		})
	}
}

func TestTwoStacksDoNotTakeEachOthersObjects(t *testing.T) {
	t.Parallel()
	one, two := newStack(t), newStack(t)
	role := "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + one.namespace + "}\nrules: []\n"
	name := "ClusterRole/" + one.namespace
	one.commit("web/a.yaml", role)
	two.commit("web/a.yaml", role)
	one.apply()
	// The same address in another stack.
	out, code := two.davit("plan")
	if code != 1 {
		t.Errorf("the plan ended with %d:\n%s", code, out)
	}
	contains(t, out, name+" (web/a.yaml:1) belongs to another stack", `application.kubernetes.web of stack "001"`, "take_over_from")
	lineage := one.kubectl("get", "clusterrole", one.namespace, "-o", `jsonpath={.metadata.annotations.davit\.sh/lineage}`)
	two.stack(two.application("web", fmt.Sprintf("  take_over_from = [%q]\n", lineage)))
	if got := two.items(); len(got) != 2 || !strings.HasPrefix(got[1], "adopt ClusterRole "+one.namespace+`: TAKEN from application.kubernetes.web of stack "001"`) {
		t.Errorf("the plan that takes it: %q", got)
	}
	contains(t, two.apply(), name+` is taken from application.kubernetes.web of stack "001"`)
	two.unchanged("after it was taken")
	// The first one neither takes it back nor deletes it.
	if out, code = one.davit("plan"); code != 1 {
		t.Errorf("the first stack's plan ended with %d:\n%s", code, out)
	}
	contains(t, out, name+" (web/a.yaml:1) belongs to another stack")
	one.commit("web/a.yaml", configMap)
	one.apply()
	one.kubectl("get", "clusterrole", one.namespace)
	one.commit("web/a.yaml", configMap+"---\n"+strings.ReplaceAll(role, one.namespace, two.namespace))
	one.apply()
	// And its destroy leaves what the second one took after the plan.
	two.commit("web/a.yaml", role+"---\n"+strings.ReplaceAll(role, one.namespace, two.namespace))
	two.apply()
	contains(t, one.destroy(), "ClusterRole/"+two.namespace+" is kept: it now belongs to application.kubernetes.web of stack")
	one.kubectl("get", "clusterrole", one.namespace, two.namespace)
	two.destroy()
	one.gone("clusterrole/" + one.namespace)
}

func TestMarksOfTheFirstVersionsAreUpgraded(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/a.yaml", configMap)
	s.apply()
	uid := s.kubectl("get", "configmap", "settings", "-o", "jsonpath={.metadata.uid}")
	s.kubectl("annotate", "configmap", "settings", "davit.sh/stack-", "davit.sh/lineage-")
	equal(t, "the plan", s.items(), []string{"update ConfigMap NS/settings"})
	out, _ := s.davit("plan")
	contains(t, out, "the owner mark of the objects now names the stack")
	s.apply()
	s.unchanged("after the upgrade")
	got := s.kubectl("get", "configmap", "settings", "-o", `jsonpath={.metadata.uid} {.metadata.annotations.davit\.sh/application} {.metadata.annotations.davit\.sh/stack}`)
	if got != uid+" application.kubernetes.web 001" {
		t.Errorf("after the upgrade: %s", got)
	}
}

func TestARemovedVersionOrphansNothing(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) *stack {
		s := newStack(t)
		s.define("v1", "v1alpha1")
		s.commit("web/a.yaml", configMap, "web/z.yaml", s.zone("v1alpha1", "z"))
		s.apply()
		s.kubectl("patch", "crd", "zones."+s.group(), "--type=json", `--patch=[{"op":"remove","path":"/spec/versions/1"}]`)
		s.eventuallyNot(s.group() + "/v1alpha1")
		return s
	}
	t.Run("a plan says what to write", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		out, code := s.davit("plan")
		if code != 1 {
			t.Errorf("the plan ended with %d:\n%s", code, out)
		}
		contains(t, out, "Zone/z (web/z.yaml:1)", "Change its apiVersion to "+s.group()+"/v1")
		s.commit("web/a.yaml", configMap, "web/z.yaml", s.zone("v1", "z"))
		s.apply()
		s.unchanged("with the other version")
	})
	t.Run("pruned", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		s.commit("web/a.yaml", configMap)
		equal(t, "the plan", s.items(), []string{"delete Zone NS/z"})
		s.apply()
		s.gone("zones." + s.group() + "/z")
	})
	t.Run("destroyed", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		contains(t, s.destroy(), "Zone/"+s.namespace+"/z: deleted")
		s.gone("namespace/" + s.namespace)
	})
}

// eventuallyNot waits until the server does not serve an API version any more. It asks the server itself: kubectl remembers what it served.
func (s *stack) eventuallyNot(version string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if out, err := s.tryKubectl("get", "--raw", "/apis/"+version); err != nil && strings.Contains(out, "NotFound") {
			return
		}
	}
	s.t.Fatalf("%s is still served", version)
}

func TestWhatGoesWithADefinitionOrANamespaceIsSaid(t *testing.T) {
	t.Parallel()
	t.Run("a definition", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		s.stack(s.application("web", ""), s.application("other", "  depends_on = [application.kubernetes.web]\n"))
		zones := s.zone("v1", "a") + "---\n" + s.zone("v1", "b")
		s.commit("web/a.yaml", configMap, "web/crd.yaml", s.zones("v1"), "other/z.yaml", zones)
		s.apply()
		s.create(s.zone("v1", "c"))
		s.commit("web/a.yaml", configMap, "other/z.yaml", zones)
		equal(t, "the plan", s.items(), []string{"delete CustomResourceDefinition zones." + s.group() + ": with everything in it: 3 Zones (2 of application.kubernetes.other)"})
		s.kubectl("annotate", "zones."+s.group(), "c", "davit.sh/prune=disabled")
		s.unchanged("when one of them must not be deleted")
	})
	t.Run("a namespace", func(t *testing.T) {
		t.Parallel()
		s := newStack(t)
		inside := s.namespace + "-inside"
		namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + inside + "}\n"
		s.stack(s.application("web", ""), strings.Replace(s.application("other", "  depends_on = [application.kubernetes.web]\n"), `"`+s.namespace+`"`, `"`+inside+`"`, 1))
		s.commit("web/a.yaml", configMap+"---\n"+namespace, "other/a.yaml", configMap)
		s.apply()
		s.kubectl("create", "role", "r", "--verb=get", "--resource=pods", "--namespace="+inside)
		s.commit("web/a.yaml", configMap, "other/a.yaml", configMap)
		equal(t, "the plan", s.items(), []string{"delete Namespace NS-inside: with everything in it: 1 ConfigMap, 1 Role (1 of application.kubernetes.other)"})
		s.kubectl("annotate", "role", "r", "davit.sh/prune=disabled", "--namespace="+inside)
		s.unchanged("when one of them must not be deleted")
		s.kubectl("annotate", "role", "r", "davit.sh/prune-", "--namespace="+inside)
		s.apply()
		s.gone("namespace/" + inside)
	})
}

func TestCreateNamespaceManagesNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/a.yaml", configMap)
	s.apply()
	s.kubectl("label", "namespace", s.namespace, "pod-security.kubernetes.io/enforce=restricted", "istio-injection=enabled")
	s.kubectl("annotate", "namespace", s.namespace, "team=shop")
	s.unchanged("after people wrote on the namespace")
	s.commit("web/a.yaml", strings.Replace(configMap, "blue", "green", 1))
	s.apply()
	got := s.kubectl("get", "namespace", s.namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce} {.metadata.labels.istio-injection} {.metadata.annotations.team}`)
	if got != "restricted enabled shop" {
		t.Errorf("the namespace has %q", got)
	}
	out, code := s.davit("destroy", "-auto-approve", "-verbose")
	if code != 0 {
		t.Errorf("destroy ended with %d:\n%s", code, out)
	}
	s.gone("namespace/" + s.namespace)
}

func TestAnEmptyFolderDeletesNothingUnasked(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.commit("web/a.yaml", configMap)
	s.apply()
	s.commit("web/a.yaml", "# nothing\n")
	out, code := s.davit("plan")
	if code != 1 {
		t.Errorf("the plan ended with %d:\n%s", code, out)
	}
	contains(t, out, "web has no Kubernetes objects", "ConfigMap/settings", "allow_empty = true")
	s.stack(s.application("web", "  allow_empty = true\n"))
	equal(t, "the plan that is allowed to", s.items(), []string{"delete ConfigMap NS/settings"})
	s.apply()
	s.gone("configmap/settings")
	s.unchanged("after everything is gone")
}

// One application gives an object up and another one takes it, one after the other, whichever comes first.
func TestAnObjectThatMovesInTwoStepsIsNotDeleted(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"web", "other"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.stack(s.application("web", ""), s.application("other", ""))
			s.commit("web/a.yaml", configMap, "web/b.yaml", service, "other/c.yaml", strings.Replace(configMap, "settings", "c", 1))
			s.apply()
			before := s.kubectl("get", "service", "web", "-o", "jsonpath={.metadata.uid}")
			s.commit("web/a.yaml", configMap, "other/b.yaml", service, "other/c.yaml", strings.Replace(configMap, "settings", "c", 1))
			out, _ := s.davit("apply", "-auto-approve", "-target=application.kubernetes."+first)
			if after := s.kubectl("get", "service", "web", "-o", "jsonpath={.metadata.uid}"); after != before {
				t.Errorf("it was deleted and created by:\n%s", out)
			}
			s.apply()
			if after := s.kubectl("get", "service", "web", "-o", "jsonpath={.metadata.uid}"); after != before {
				t.Error("it was deleted and created by the second apply")
			}
			s.unchanged("after both")
		})
	}
}

// Reasons say what changed: the images, the files, the arguments, or somebody's hand.
func TestReasonsAreTrue(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	at := func(tag, more string) {
		s.stack(s.application("web", fmt.Sprintf("  images = { \"acme/api\" = \"registry.example.com/acme/api:%s\" }\n%s", tag, more)))
	}
	web := deployment(0, "acme/api")
	at("1.2", "")
	s.commit("web/a.yaml", configMap, "web/web.yaml", web)
	s.apply()
	because := func() []string {
		t.Helper()
		var reasons []string
		for _, line := range s.changes() {
			if strings.HasPrefix(line, "because ") {
				reasons = append(reasons, strings.TrimPrefix(line, "because "))
			}
		}
		return reasons
	}
	const bump = "image registry.example.com/acme/api 1.2 -> 1.3"
	at("1.3", "")
	equal(t, "an image", because(), []string{bump})
	s.commit("web/a.yaml", strings.Replace(configMap, "blue", "green", 1), "web/web.yaml", web)
	got := because()
	if len(got) != 2 || got[0] != bump || !strings.HasPrefix(got[1], "the manifests changed (") {
		t.Errorf("an image and the files: %q", got)
	}
	at("1.2", "")
	if got = because(); len(got) != 1 || !strings.HasPrefix(got[0], "the manifests changed (") {
		t.Errorf("the files: %q", got)
	}
	s.commit("web/a.yaml", configMap, "web/web.yaml", web)
	at("1.2", "  labels = { team = \"shop\" }\n")
	equal(t, "the arguments, after an unrelated commit", because(), []string{"the block's labels changed"})
	at("1.2", "")
	s.unchanged("as it was applied")
	s.kubectl("set", "image", "deployment/web", "api=busybox:2")
	equal(t, "a hand", because(), []string{"Deployment/web was changed by kubectl-set"})
	at("1.3", "")
	if got = because(); len(got) < 2 || !strings.Contains(got[0], "image ") || !strings.Contains(strings.Join(got, "\n"), "kubectl-set") {
		t.Errorf("a hand and an image: %q", got)
	}
}
