package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/sdk"
)

// Immutable returns the fields that the server refuses to change in an existing object, none if err is of another kind.
func Immutable(err error) []string {
	status := statusOf(err)
	if status == nil || !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		return nil
	}
	var fields []string
	for _, cause := range causes(status) {
		if immutable.MatchString(cause.Message) {
			fields = append(fields, cause.Field)
		}
	}
	return fields
}

// The API's own words are not uniform: Deployment selectors and Jobs say "field is immutable",
// Services "may not change once set", StatefulSets "updates to statefulset spec for fields
// other than ... are forbidden", role bindings "cannot change roleRef".
var immutable = regexp.MustCompile(`immutable|may not change|cannot change|may not be changed|updates to .* are forbidden`)

// MissingNamespace tells whether the server refused an object for want of its namespace.
func MissingNamespace(err error) bool {
	status := statusOf(err)
	return status != nil && apierrors.IsNotFound(err) && status.Details != nil && status.Details.Kind == "namespaces"
}

// TerminatingNamespace tells whether the server refused an object because its namespace is being deleted.
func TerminatingNamespace(err error) bool {
	return apierrors.HasStatusCause(err, "NamespaceTerminating")
}

// Passing tells whether the same request may succeed soon.
func Passing(err error) bool {
	var unknown *UnknownKindError
	return errors.As(err, &unknown) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// RemovedVersion tells whether the server cannot apply an object because its fields are managed in a version that was removed.
func RemovedVersion(err error) bool {
	return err != nil && strings.Contains(err.Error(), "convert CR to an invalid group/version")
}

// Forbidden tells whether the server does not allow a request to this user.
func Forbidden(err error) bool { return apierrors.IsForbidden(err) && denied.MatchString(err.Error()) }

// Malformed tells whether the server objects to what is in an object, wherever it is.
func Malformed(err error) bool {
	for _, cause := range causesOf(err) {
		if cause.Field == "metadata.name" && strings.Contains(cause.Message, "must be no more than") {
			return false // a trial's name is longer than the object's
		}
	}
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || err != nil && typedPatch.MatchString(err.Error())
}

func causesOf(err error) []metav1.StatusCause {
	if status := statusOf(err); status != nil {
		return causes(status)
	}
	return nil
}

func statusOf(err error) *metav1.Status {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return nil
	}
	s := status.Status()
	return &s
}

func causes(s *metav1.Status) []metav1.StatusCause {
	if s.Details == nil {
		return nil
	}
	return s.Details.Causes
}

// Explain turns an error into one for people. doing is what was tried ("apply"), what is the
// object and its file ("Deployment/web from deploy/web.yaml:1").
func (c *Cluster) Explain(err error, doing, what string) *sdk.Error {
	if known, ok := errors.AsType[*sdk.Error](err); ok {
		return known
	}
	e := &sdk.Error{Summary: fmt.Sprintf("cannot %s %s", doing, what), Err: err, Code: "kubernetes.failed"}
	var unknown *UnknownKindError
	var status = statusOf(err)
	switch {
	case errors.As(err, &unknown):
		c.explainKind(e, unknown, what)
	case status != nil:
		c.explainStatus(e, err, status, doing, what)
	case errors.Is(err, context.Canceled):
		e.Detail, e.Code = "It was cancelled.", "kubernetes.cancelled"
	default:
		c.explainConnection(e, err)
	}
	return e
}

func (c *Cluster) explainKind(e *sdk.Error, unknown *UnknownKindError, what string) {
	e.Summary, e.Code = fmt.Sprintf("the cluster does not know the kind of %s", what), "kubernetes.kind"
	e.Detail = unknown.Error() + "."
	e.Hint = "If a CustomResourceDefinition brings it, apply that first: in the same folder, or in an application that this one depends on."
	if unknown.Served != "" {
		e.Hint = fmt.Sprintf("Change its apiVersion to %s.", schema.GroupVersion{Group: unknown.Group, Version: unknown.Served})
		return
	}
	best, score := "", 0.6
	for _, name := range c.kinds.near(unknown.GroupVersion()) {
		if s := levenshtein.Similarity(name, unknown.Kind, nil); s > score {
			best, score = name, s
		}
	}
	if best != "" {
		e.Hint = fmt.Sprintf("Did you mean %s?", best)
	}
}

// A message of the authorizer: `... User "x" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`.
var denied = regexp.MustCompile(`User "([^"]*)" cannot (\w+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

var webhook = regexp.MustCompile(`(?s)admission webhook "([^"]*)" denied the request:? ?(.*)`)

func (c *Cluster) explainStatus(e *sdk.Error, err error, status *metav1.Status, doing, what string) {
	message := strings.TrimSpace(status.Message)
	e.Detail = sentence(message)
	switch {
	case apierrors.IsUnauthorized(err):
		e.Summary, e.Code = fmt.Sprintf("the cluster at %s refused the credentials of context %q", c.Server, c.Context), "kubernetes.unauthorized"
		e.Hint = "Log in again, or set another kubeconfig or context."
	case denied.MatchString(message):
		m := denied.FindStringSubmatch(message)
		e.Summary, e.Code = fmt.Sprintf("not allowed to %s %s", m[2], resourceIn(m[3], m[4], m[5])), "kubernetes.forbidden"
		e.Detail = fmt.Sprintf("This is needed to %s %s. The cluster knows davit as %q.", doing, what, m[1])
		e.Hint = fmt.Sprintf("Give that user a Role with the verb %q for %q, or use another context.", m[2], m[3])
	case webhook.MatchString(message):
		m := webhook.FindStringSubmatch(message)
		e.Summary, e.Code = fmt.Sprintf("the admission webhook %q refused %s", m[1], what), "kubernetes.admission"
		e.Detail = sentence(m[2])
	case strings.Contains(message, "failed calling webhook"):
		e.Summary, e.Code = fmt.Sprintf("an admission webhook did not answer for %s", what), "kubernetes.webhook"
	case conflicts(status) != "":
		e.Code, e.Detail = "kubernetes.conflict", conflicts(status)
		e.Hint = "Set force_conflicts = true to take the fields over, or remove them from the manifests."
	case len(Immutable(err)) > 0:
		e.Summary, e.Code = fmt.Sprintf("%s cannot be changed in place", what), "kubernetes.immutable"
		e.Detail = "These fields cannot be changed once the object exists: " + strings.Join(Immutable(err), ", ") + "."
		e.Hint = "To delete and recreate it, give it the annotation davit.sh/force: enabled, or set force = true in the block."
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || typedPatch.MatchString(message):
		e.Summary, e.Code = fmt.Sprintf("the cluster rejects %s", what), "kubernetes.invalid"
		e.Detail = invalid(status)
	}
}

func resourceIn(resource, group, namespace string) string {
	if group != "" {
		resource += "." + group
	}
	if namespace != "" && resource != "namespaces" {
		resource += fmt.Sprintf(" in namespace %q", namespace)
	}
	return resource
}

// conflicts lists who owns the fields that davit may not take.
func conflicts(status *metav1.Status) string {
	var lines []string
	for _, cause := range causes(status) {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			lines = append(lines, fmt.Sprintf("%s: %s", cause.Field, cause.Message))
		}
	}
	return strings.Join(lines, "\n")
}

// What the server says before it comes to the point when an object does not have its kind's form.
var typedPatch = regexp.MustCompile(`failed to create typed patch object \([^)]*\): |` +
	`failed to convert new object \([^)]*\) to proper version: unable to convert unstructured object to [^:]*: (error decoding from json: )?`)

// invalid is the server's objection without the object's name, one line a field.
func invalid(status *metav1.Status) string {
	var lines []string
	for _, cause := range causes(status) {
		if cause.Field != "" && cause.Field != "patch" {
			lines = append(lines, fmt.Sprintf("%s: %s", cause.Field, cause.Message))
		}
	}
	if len(lines) > 0 {
		slices.Sort(lines)
		return strings.Join(slices.Compact(lines), "\n")
	}
	message := typedPatch.ReplaceAllString(status.Message, "")
	message = strings.TrimPrefix(message, "errors:\n")
	return sentence(message)
}

func (c *Cluster) explainConnection(e *sdk.Error, err error) {
	var requested *url.Error
	cause := err
	if errors.As(err, &requested) {
		cause = requested.Err
	}
	var network net.Error
	message := cause.Error()
	switch {
	case strings.Contains(message, "x509") || strings.Contains(message, "tls:"):
		e.Summary, e.Code = fmt.Sprintf("the cluster at %s cannot be trusted", c.Server), "kubernetes.certificate"
		e.Detail, e.Hint = sentence(message), "Check the certificate authority in the kubeconfig."
	case requested != nil || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded):
		e.Summary, e.Code = fmt.Sprintf("the cluster at %s cannot be reached", c.Server), "kubernetes.unreachable"
		e.Detail = sentence(message)
		e.Hint = fmt.Sprintf("Check that its API server is up and that context %q is the right one.", c.Context)
	}
}

// sentence puts a server's message on one line of moderate length.
func sentence(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > 1000 {
		message = message[:1000] + "..."
	}
	return message
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
