package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// status is an error as API servers send it.
func status(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message, Details: &metav1.StatusDetails{Causes: causes}}}
}

func TestExplain(t *testing.T) {
	c := &Cluster{Server: "https://10.0.0.1:6443", Context: "prod", kinds: &kinds{known: map[string]map[string]kind{"apps/v1": {"Deployment": {}, "DaemonSet": {}}}}}
	tests := map[string]struct {
		err  error
		code string
		want []string
		not  []string
	}{
		"unauthorized": {status(401, metav1.StatusReasonUnauthorized, "Unauthorized"), "kubernetes.unauthorized", []string{"https://10.0.0.1:6443", `"prod"`}, nil},
		"forbidden by RBAC": {status(403, metav1.StatusReasonForbidden, `deployments.apps "web" is forbidden: User "ci" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`),
			"kubernetes.forbidden", []string{`not allowed to patch deployments.apps in namespace "shop"`, "apply Deployment/web (web.yaml:1)", `"ci"`, `verb "patch"`}, nil},
		"forbidden by a quota": {status(403, metav1.StatusReasonForbidden, `pods "web" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2`),
			"kubernetes.failed", []string{"cannot apply Deployment/web", "exceeded quota: q"}, []string{"Role"}},
		"an admission webhook": {status(403, metav1.StatusReasonForbidden, `admission webhook "policy.acme.io" denied the request: no image without a digest`),
			"kubernetes.admission", []string{`webhook "policy.acme.io" refused Deployment/web`, "no image without a digest"}, []string{"denied the request"}},
		"a webhook that does not answer": {status(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "w": connection refused`), "kubernetes.webhook", []string{"did not answer"}, nil},
		"invalid fields": {status(422, metav1.StatusReasonInvalid, `Deployment.apps "web" is invalid: [long list]`,
			metav1.StatusCause{Field: "spec.b", Message: "Required value"}, metav1.StatusCause{Field: "spec.a", Message: "Invalid value: 1"}),
			"kubernetes.invalid", []string{"rejects Deployment/web", "spec.a: Invalid value: 1\nspec.b: Required value"}, []string{"long list"}},
		"a field that does not exist": {status(500, metav1.StatusReasonInternalError, "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replcas: field not declared in schema"),
			"kubernetes.invalid", []string{".spec.replcas: field not declared in schema"}, []string{"typed patch"}},
		"an immutable field": {status(422, metav1.StatusReasonInvalid, `Job "j" is invalid`, metav1.StatusCause{Field: "spec.template", Message: `Invalid value: {"a":1}: field is immutable`}),
			"kubernetes.immutable", []string{"cannot be changed in place", "spec.template", "davit.sh/force"}, []string{`{"a":1}`}},
		"somebody else's field": {status(409, metav1.StatusReasonConflict, "Apply failed with 1 conflict", metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.replicas", Message: `conflict with "hpa"`}),
			"kubernetes.conflict", []string{`.spec.replicas: conflict with "hpa"`, "force_conflicts"}, nil},
		"no such kind":           {&UnknownKindError{schema.GroupVersionKind{Group: "acme.io", Version: "v1", Kind: "Zone"}, ""}, "kubernetes.kind", []string{"no kind Zone in acme.io/v1", "CustomResourceDefinition"}, nil},
		"another version":        {&UnknownKindError{schema.GroupVersionKind{Group: "acme.io", Version: "v1alpha1", Kind: "Zone"}, "v1"}, "kubernetes.kind", []string{"Zone in acme.io/v1, not in acme.io/v1alpha1", "Change its apiVersion to acme.io/v1"}, nil},
		"a misspelt kind":        {&UnknownKindError{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deploymnet"}, ""}, "kubernetes.kind", []string{"Did you mean Deployment?"}, nil},
		"nobody there":           {&url.Error{Op: "Patch", URL: "https://10.0.0.1:6443/long/path?query", Err: syscall.ECONNREFUSED}, "kubernetes.unreachable", []string{"https://10.0.0.1:6443 cannot be reached", "connection refused", `"prod"`}, []string{"query"}},
		"no answer":              {fmt.Errorf("asking: %w", context.DeadlineExceeded), "kubernetes.unreachable", []string{"cannot be reached"}, nil},
		"a foreign certificate":  {&url.Error{Err: errors.New("tls: failed to verify certificate: x509: certificate signed by unknown authority")}, "kubernetes.certificate", []string{"cannot be trusted"}, nil},
		"cancelled":              {context.Canceled, "kubernetes.cancelled", nil, nil},
		"a very long objection":  {status(400, metav1.StatusReasonBadRequest, strings.Repeat("long ", 1000)), "kubernetes.invalid", []string{"..."}, nil},
		"something that is else": {errors.New("odd"), "kubernetes.failed", []string{"cannot apply Deployment/web (web.yaml:1)"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := c.Explain(test.err, "apply", "Deployment/web (web.yaml:1)")
			text := e.Summary + "\n" + e.Detail + "\n" + e.Hint
			if e.Code != test.code {
				t.Errorf("code %s, want %s: %s", e.Code, test.code, text)
			}
			if len(text) > 2000 {
				t.Errorf("%d bytes", len(text))
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in:\n%s", want, text)
				}
			}
			for _, not := range test.not {
				if strings.Contains(text, not) {
					t.Errorf("%q is in:\n%s", not, text)
				}
			}
		})
	}
}

// TestImmutable has the words of the API's own kinds.
func TestImmutable(t *testing.T) {
	for message, want := range map[string]bool{
		`Invalid value: {...}: field is immutable`:             true,
		`Invalid value: ["10.0.0.1"]: may not change once set`: true,
		`Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy' are forbidden`: true,
		`Invalid value: {...}: cannot change roleRef`:                                                                          true,
		`Forbidden: pod updates may not change fields other than ` + "`spec.containers[*].image`":                              true,
		`Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims`: true,
		`Invalid value: -1: must be greater than or equal to 0`:                                                                false,
		`Required value`: false,
	} {
		got := Immutable(status(422, metav1.StatusReasonInvalid, "x is invalid", metav1.StatusCause{Field: "spec", Message: message}))
		if slices.Equal(got, []string{"spec"}) != want {
			t.Errorf("%q: %q", message, got)
		}
	}
	if got := Immutable(errors.New("field is immutable")); got != nil {
		t.Errorf("an error that is not the server's: %q", got)
	}
}
