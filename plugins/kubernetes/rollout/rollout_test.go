package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
	"github.com/davit-sh/davit/sdk"
)

// fake is a cluster whose objects change from one look to the next, as pods do that cannot
// be made to at will. The acceptance tests have real ones.
type fake struct {
	mu      sync.Mutex
	looks   []string // states of the workload as YAML, the last one stays
	pods    string
	sets    string
	log     string
	listErr error
}

func read(text string) *unstructured.Unstructured {
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		panic(err)
	}
	return &unstructured.Unstructured{Object: render.Decode(j)}
}

func (f *fake) Get(context.Context, cluster.Ref) (*unstructured.Unstructured, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := f.looks[0]
	if len(f.looks) > 1 {
		f.looks = f.looks[1:]
	}
	if state == "" {
		return nil, nil
	}
	return read(state), nil
}

func (f *fake) List(_ context.Context, gvk schema.GroupVersionKind, _, labels string) ([]unstructured.Unstructured, error) {
	text := f.pods
	if gvk.Kind == "ReplicaSet" {
		text = f.sets
	}
	if text == "" || f.listErr != nil {
		return nil, f.listErr
	}
	var found []unstructured.Unstructured
	for doc := range strings.SplitSeq(text, "---\n") {
		u := read(doc)
		matches := true
		for want := range strings.SplitSeq(labels, ",") {
			k, v, _ := strings.Cut(want, "=")
			matches = matches && u.GetLabels()[k] == v
		}
		if matches {
			found = append(found, *u)
		}
	}
	return found, nil
}

func (f *fake) Logs(_ context.Context, _, pod, container string, _ int, previous bool) (string, error) {
	return fmt.Sprintf(f.log, pod, container, previous), nil
}

func deployment(updated, available int, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}
spec: {replicas: 3, selector: {matchLabels: {app: web}}}
status: {observedGeneration: 2, replicas: 3, updatedReplicas: %d, readyReplicas: %d, availableReplicas: %d, conditions: [{type: Available, status: "True"}%s]}
`, updated, available, available, more)
}

func pod(hash, container string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: web-%s, namespace: shop, labels: {app: web, pod-template-hash: %q}}
status: {phase: Pending, containerStatuses: [%s]}
`, hash, hash, container)
}

const sets = `apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: old, labels: {app: web, pod-template-hash: old}, annotations: {deployment.kubernetes.io/revision: "1"}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: new, labels: {app: web, pod-template-hash: new}, annotations: {deployment.kubernetes.io/revision: "2"}}
`

func TestWait(t *testing.T) {
	pull := func(reason, message string) string {
		return fmt.Sprintf("{name: api, image: 'reg/api:2', state: {waiting: {reason: %s, message: %q}}}", reason, message)
	}
	crash := func(restarts int) string {
		return fmt.Sprintf("{name: api, restartCount: %d, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}, lastState: {terminated: {exitCode: 3, reason: Error}}}", restarts)
	}
	job := func(conditions string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, generation: 1}\nspec: {selector: {matchLabels: {app: web}}}\nstatus: {startTime: x, active: 1, conditions: [" + conditions + "]}\n"
	}
	tests := map[string]struct {
		cluster *fake
		timeout time.Duration
		health  string
		reports []string // in this order
		err     []string // all in the error
	}{
		"a rollout that goes well": {
			cluster: &fake{looks: []string{deployment(0, 3, ""), deployment(2, 2, ""), deployment(3, 3, "")}}, health: "Current",
			reports: []string{"0 of 3 updated replicas are available", "2 of 3 updated replicas are available", "3 of 3 updated replicas are available"},
		},
		"an object that is not there yet": {
			cluster: &fake{looks: []string{"", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"}}, health: "Current", reports: []string{"not found"},
		},
		"an image that the registry does not have": {
			cluster: &fake{looks: []string{deployment(1, 0, "")}, sets: sets, pods: pod("new", pull("ImagePullBackOff", "Back-off pulling image: ErrImagePull: reg/api:2: not found"))},
			health:  "Failed", reports: []string{"container api: image reg/api:2: ImagePullBackOff"}, err: []string{"Deployment/web did not become healthy", "reg/api:2: not found"},
		},
		"a registry that is down may come back": {
			cluster: &fake{looks: []string{deployment(1, 0, ""), deployment(3, 3, "")}, sets: sets, pods: pod("new", pull("ErrImagePull", "dial tcp: connection refused"))},
			health:  "Current", reports: []string{"connection refused", "3 of 3"},
		},
		"a container that crashes again and again, with its log": {
			cluster: &fake{looks: []string{deployment(1, 0, "")}, sets: sets, pods: pod("new", crash(3)), log: "%s/%s previous=%t: cannot open database with hunter2\n"},
			health:  "Failed", err: []string{"crashed 3 times: exit code 3", "web-new/api previous=true: cannot open database with (sensitive)"},
		},
		"the pods of the version before do not count": {
			cluster: &fake{looks: []string{deployment(1, 0, ""), deployment(1, 0, ""), deployment(3, 3, "")}, sets: sets, pods: pod("old", crash(9)) + "---\n" + pod("new", "{name: api, state: {running: {}}}")},
			health:  "Current",
		},
		"a crash or two while things come up": {
			cluster: &fake{looks: []string{deployment(1, 0, ""), deployment(3, 3, "")}, sets: sets, pods: pod("new", crash(1))}, health: "Current", reports: []string{"crashed 1 times"},
		},
		"the failing pods of a version that is being replaced": {
			cluster: &fake{looks: []string{strings.Replace(deployment(1, 0, ""), "observedGeneration: 2", "observedGeneration: 1", 1), deployment(3, 3, "")}, sets: sets, pods: pod("new", crash(9))},
			health:  "Current",
		},
		"a progress deadline that has passed": {
			cluster: &fake{looks: []string{deployment(1, 0, `, {type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: it took too long}`)}},
			health:  "Failed", err: []string{"Deployment/web did not become healthy"},
		},
		"pods that may not be listed": {
			cluster: &fake{looks: []string{deployment(1, 0, ""), deployment(3, 3, "")}, listErr: errors.New("forbidden")}, health: "Current",
		},
		"no time left": {
			cluster: &fake{looks: []string{deployment(1, 0, "")}}, timeout: time.Second,
			health: "InProgress", err: []string{"did not become healthy in 1s", "0 of 3 updated replicas are available (InProgress)"},
		},
		"a job is healthy when it is complete, not when it runs": {
			cluster: &fake{looks: []string{job(""), job(`{type: Complete, status: "True"}`)}}, health: "Current", reports: []string{"running: 1 active"},
		},
		"a job that failed": {
			cluster: &fake{looks: []string{job(`{type: Failed, status: "True"}`)}, pods: pod("x", "{name: c, state: {terminated: {exitCode: 1}}}"), log: "%s %s %t: no such table\n"},
			health:  "Failed", err: []string{"exit code 1", "no such table"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.timeout == 0 {
				test.timeout = time.Minute
			}
			kind := read(test.cluster.looks[len(test.cluster.looks)-1])
			var reports []string
			health, err := rollout.Wait(t.Context(), test.cluster, []rollout.Target{{Ref: cluster.RefOf(kind), Key: "k"}}, rollout.Options{
				Timeout: test.timeout, Redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "(sensitive)") },
				Report: func(_ rollout.Target, h rollout.Health) { reports = append(reports, h.Message) },
			})
			if string(health) != test.health || (err == nil) != (test.health == "Current") {
				t.Fatalf("health %s, error %v", health, err)
			}
			all := strings.Join(reports, "\n")
			for _, want := range test.reports {
				_, rest, found := strings.Cut(all, want)
				if !found {
					t.Errorf("%q is not reported, or not in its turn:\n%s", want, strings.Join(reports, "\n"))
				}
				all = rest
			}
			for _, want := range test.err {
				var e *sdk.Error
				if !errors.As(err, &e) || !strings.Contains(e.Summary+"\n"+e.Detail, want) {
					t.Errorf("%q is not in the error: %v", want, err)
				}
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := fake{looks: []string{deployment(0, 0, "")}}
	_, err := rollout.Wait(ctx, &c, []rollout.Target{{Ref: cluster.RefOf(read(deployment(0, 0, "")))}}, rollout.Options{
		Timeout: time.Hour, Redact: func(s string) string { return s }, Report: func(rollout.Target, rollout.Health) {}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
