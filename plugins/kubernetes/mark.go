package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Annotations beside render.Annotation that say whose an object is.
const (
	stackAnnotation   = "davit.sh/stack"   // name of the stack, for people
	lineageAnnotation = "davit.sh/lineage" // of the stack's state; tells stacks of one name apart
)

// mark is the owner mark of an object: which application of which stack applies it.
type mark struct {
	Application string `json:"application,omitempty"`
	Stack       string `json:"stack,omitempty"`
	Lineage     string `json:"lineage,omitempty"` // empty in marks of the first versions of davit
}

// markIn reads the owner mark in annotations, the zero mark when there is none.
func markIn(annotations map[string]string) mark {
	return mark{annotations[render.Annotation], annotations[stackAnnotation], annotations[lineageAnnotation]}
}

// put writes the stack's part of the mark. Rendering has written the application's.
func (m mark) put(u *unstructured.Unstructured) {
	if m.Lineage == "" {
		return
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[lineageAnnotation] = m.Lineage
	delete(annotations, stackAnnotation)
	if m.Stack != "" {
		annotations[stackAnnotation] = m.Stack
	}
	u.SetAnnotations(annotations)
}

// String names the owner for people: `application.kubernetes.web of stack "shop"`.
func (m mark) String() string {
	switch {
	case m.Lineage == "":
		return m.Application
	case m.Application == "":
		return "stack " + m.stackName()
	}
	return fmt.Sprintf("%s of stack %s", m.Application, m.stackName())
}

func (m mark) stackName() string {
	if m.Stack == "" {
		return fmt.Sprintf("%q", m.Lineage)
	}
	return fmt.Sprintf("%q", m.Stack)
}

// belonging is whose an object is, as an application sees it.
type belonging int

const (
	unmarked belonging = iota // it has no owner mark
	own                       // this application's
	sibling                   // another application's of this stack, or of an unknown stack
	foreign                   // another stack's
)

// owner is the application that asks whose an object is.
type owner struct {
	mark
	former []string // other addresses that the application had
}

// of tells whose an object with these annotations is. A mark without a lineage is taken for one of this stack.
func (o owner) of(annotations map[string]string) belonging {
	m := markIn(annotations)
	switch {
	case m == mark{}:
		return unmarked
	case m.Lineage != "" && m.Lineage != o.Lineage:
		return foreign
	case m.Application == o.Application || m.Application != "" && slices.Contains(o.former, m.Application):
		return own
	}
	return sibling
}

// sure tells whether the mark says beyond doubt that the object is this application's: one without a lineage may be another stack's.
func (o owner) sure(annotations map[string]string) bool {
	return o.of(annotations) == own && (o.Lineage == "" || annotations[lineageAnnotation] != "")
}

// mayTake tells whether the configuration allows to take objects of the stack in the mark.
func (c Config) mayTake(m mark) bool {
	return slices.ContainsFunc(c.TakeOverFrom, func(stack string) bool { return stack != "" && (stack == m.Stack || stack == m.Lineage) })
}

// foreignError says that an object is another stack's.
func foreignError(o render.Object, m mark) *sdk.Error {
	name := m.Stack
	if name == "" {
		name = m.Lineage
	}
	return &sdk.Error{
		Summary: fmt.Sprintf("%s (%s) belongs to another stack", render.Short(o.Unstructured), o.File),
		Detail:  fmt.Sprintf("It is an object of %s, whose state has the lineage %s.", m, m.Lineage),
		Code:    "kubernetes.owned", Path: sdk.At("path"),
		Hint: fmt.Sprintf("Declare the object in one of the two stacks only. To take it from the other stack, set take_over_from = [%q].", name),
	}
}

// disabled tells whether the annotations say that the object is never to be deleted.
func disabled(annotations map[string]string) bool {
	return strings.EqualFold(annotations[pruneAnnotation], "disabled")
}
