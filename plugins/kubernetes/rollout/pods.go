package rollout

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// problem is why a workload's pods do not come up.
type problem struct {
	text  string
	final bool // waiting does not help
	// The container whose log tells more.
	crashed, previous         bool
	namespace, pod, container string
}

var (
	podKind        = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	replicaSetKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}
)

// Why looks for the reason why a workload is not healthy, in what its pods say. It is "" when they say nothing.
func Why(ctx context.Context, r Reader, u *unstructured.Unstructured) string {
	return (&waiting{reader: r}).ask(ctx, u).text
}

// ask looks for the worst problem of a workload's newest pods. What may not be read is no problem.
func (w *waiting) ask(ctx context.Context, u *unstructured.Unstructured) problem {
	var pods []unstructured.Unstructured
	switch u.GetKind() {
	case "Pod":
		pods = []unstructured.Unstructured{*u}
	case "Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet":
		pods = w.pods(ctx, u)
	default:
		return problem{}
	}
	var worst problem
	for i := range pods {
		p := podProblem(&pods[i])
		if p.text != "" && (worst.text == "" || p.final && !worst.final) {
			worst = p
		}
	}
	if worst.text == "" && condition(u, "ReplicaFailure") {
		message, _ := conditionOf(u, "ReplicaFailure")["message"].(string)
		worst.text = message
	}
	return worst
}

// observed tells whether the controller has seen the object as it is now. Before that, its pods are those of the version before.
func observed(u *unstructured.Unstructured) bool {
	generation, reported, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	switch u.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return reported && generation >= u.GetGeneration()
	}
	return true
}

func (w *waiting) pods(ctx context.Context, u *unstructured.Unstructured) []unstructured.Unstructured {
	labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector", "matchLabels")
	if len(labels) == 0 {
		return nil
	}
	labels = maps.Clone(labels)
	switch u.GetKind() {
	case "Deployment":
		if hash := w.newest(ctx, u, selector(labels)); hash != "" {
			labels["pod-template-hash"] = hash
		}
	case "StatefulSet":
		if revision, _, _ := unstructured.NestedString(u.Object, "status", "updateRevision"); revision != "" {
			labels["controller-revision-hash"] = revision
		}
	}
	pods, err := w.reader.List(ctx, podKind, u.GetNamespace(), selector(labels))
	if err != nil {
		return nil
	}
	return pods
}

// newest is the template hash of a Deployment's current ReplicaSet: the pods of an older one may be failing on.
func (w *waiting) newest(ctx context.Context, u *unstructured.Unstructured, selector string) string {
	const revision = "deployment.kubernetes.io/revision"
	sets, err := w.reader.List(ctx, replicaSetKind, u.GetNamespace(), selector)
	if err != nil {
		return ""
	}
	for _, s := range sets {
		if s.GetAnnotations()[revision] == u.GetAnnotations()[revision] {
			return s.GetLabels()["pod-template-hash"]
		}
	}
	return ""
}

func selector(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

func podProblem(pod *unstructured.Unstructured) problem {
	if pod.GetDeletionTimestamp() != nil {
		return problem{}
	}
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", list)
		for _, s := range statuses {
			c, ok := s.(map[string]any)
			if !ok {
				continue
			}
			if p := containerProblem(c); p.text != "" {
				p.namespace, p.pod = pod.GetNamespace(), pod.GetName()
				return p
			}
		}
	}
	if c := conditionOf(pod, "PodScheduled"); c != nil && c["status"] == "False" {
		message, _ := c["message"].(string)
		return problem{text: "not scheduled: " + message}
	}
	return problem{}
}

// hopelessPull is what registries say when trying again does not help.
var hopelessPull = regexp.MustCompile(`(?i)not found|manifest unknown|unauthorized|denied|forbidden|no match for platform|invalid reference`)

// containerProblem reads one container's status. A container that fails a few times while
// what it needs comes up is normal; from the third restart on, it is not.
func containerProblem(c map[string]any) problem {
	name, _ := c["name"].(string)
	reason, _, _ := unstructured.NestedString(c, "state", "waiting", "reason")
	message, _, _ := unstructured.NestedString(c, "state", "waiting", "message")
	restarts, _, _ := unstructured.NestedInt64(c, "restartCount")
	p := problem{container: name}
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable":
		image, _ := c["image"].(string)
		p.text = fmt.Sprintf("container %s: image %s: %s: %s", name, image, reason, short(message))
		p.final = reason == "InvalidImageName" || reason == "ErrImageNeverPull" || reason == "ImagePullBackOff" && hopelessPull.MatchString(message)
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		p.text = fmt.Sprintf("container %s: %s: %s", name, reason, short(message))
		p.final = restarts >= 3
	case "CrashLoopBackOff":
		p.text = fmt.Sprintf("container %s crashed %d times: %s", name, restarts, ended(c, "lastState"))
		p.final, p.crashed, p.previous = restarts >= 3, true, true
	default:
		if code, found, _ := unstructured.NestedInt64(c, "state", "terminated", "exitCode"); found && code != 0 {
			p.text, p.crashed = fmt.Sprintf("container %s ended: %s", name, ended(c, "state")), true
		}
	}
	return p
}

func ended(c map[string]any, state string) string {
	code, _, _ := unstructured.NestedInt64(c, state, "terminated", "exitCode")
	reason, _, _ := unstructured.NestedString(c, state, "terminated", "reason")
	message, _, _ := unstructured.NestedString(c, state, "terminated", "message")
	text := fmt.Sprintf("exit code %d", code)
	if reason != "" && reason != "Error" {
		text = reason + ", " + text
	}
	if message = short(message); message != "" {
		text += ": " + message
	}
	return text
}

func short(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > 400 {
		message = message[:400] + "..."
	}
	return message
}
