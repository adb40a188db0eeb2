// Package rollout waits for applied objects to become healthy, tells how they are doing,
// and says why when they do not.
package rollout

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Health is one object's state in the words of kstatus, and one line about it.
type Health struct {
	Status  status.Status
	Message string
}

// Of computes an object's health from what the server says of it; nil is an object that is not there.
func Of(u *unstructured.Unstructured) Health {
	if u == nil {
		return Health{status.NotFoundStatus, "not found"}
	}
	result, err := status.Compute(u)
	if err != nil {
		return Health{status.UnknownStatus, err.Error()}
	}
	h := Health{result.Status, result.Message}
	if h.Status == status.TerminatingStatus || h.Status == status.FailedStatus {
		return h
	}
	switch u.GroupVersionKind().GroupKind().String() {
	case "Deployment.apps":
		h.Message = replicas(u, "updatedReplicas", "availableReplicas")
	case "StatefulSet.apps":
		h.Message = replicas(u, "updatedReplicas", "readyReplicas")
	case "DaemonSet.apps":
		h.Message = fmt.Sprintf("%d of %d updated pods are available",
			min(number(u, "status", "numberAvailable"), number(u, "status", "updatedNumberScheduled")), number(u, "status", "desiredNumberScheduled"))
	case "Job.batch":
		h = job(u, h)
	case "Pod":
		if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase == "Failed" {
			h.Status = status.FailedStatus
		}
	}
	return h
}

func replicas(u *unstructured.Unstructured, updated, ready string) string {
	wanted, set, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !set {
		wanted = 1
	}
	if observed := number(u, "status", "observedGeneration"); observed < u.GetGeneration() {
		return fmt.Sprintf("0 of %d updated replicas are available", wanted)
	}
	return fmt.Sprintf("%d of %d updated replicas are available", min(number(u, "status", updated), number(u, "status", ready)), wanted)
}

// job is stricter than kstatus, which takes a job for Current as soon as it runs.
func job(u *unstructured.Unstructured, h Health) Health {
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	if h.Status != status.CurrentStatus || suspended || condition(u, "Complete") {
		return h
	}
	return Health{status.InProgressStatus, fmt.Sprintf("running: %d active, %d succeeded, %d failed",
		number(u, "status", "active"), number(u, "status", "succeeded"), number(u, "status", "failed"))}
}

func condition(u *unstructured.Unstructured, kind string) bool {
	c := conditionOf(u, kind)
	return c != nil && c["status"] == "True"
}

func conditionOf(u *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			return m
		}
	}
	return nil
}

func number(u *unstructured.Unstructured, at ...string) int64 {
	n, _, _ := unstructured.NestedInt64(u.Object, at...)
	return n
}

// Worst is the health of several objects together.
func Worst(all []Health) status.Status {
	rank := map[status.Status]int{status.CurrentStatus: 0, status.UnknownStatus: 1, status.InProgressStatus: 2, status.TerminatingStatus: 3, status.NotFoundStatus: 4, status.FailedStatus: 5}
	worst := status.CurrentStatus
	for _, h := range all {
		if rank[h.Status] > rank[worst] {
			worst = h.Status
		}
	}
	return worst
}
