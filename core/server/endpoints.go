package server

import (
	"net/http"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/state"
)

// The verbs that callers may have.
const (
	Get      = "get"
	Plan     = "plan"
	Sync     = "sync"
	Approve  = "approve"
	Rollback = "rollback"
)

// Verbs returns all verbs.
func Verbs() []string { return []string{Get, Plan, Sync, Approve, Rollback} }

// endpoint is one row of the table: what is served, who may call it, and what it takes and returns.
type endpoint struct {
	Name    string // in the OpenAPI document and the audit log
	Method  string
	Path    string
	Verb    string // that a caller needs; "": anybody
	Summary string
	Query   []string
	Body    any // zero value of what it takes; nil: nothing
	Answer  any // zero value of what it returns; nil: no JSON
	Changes bool
	stream  bool // the answer goes on until the caller leaves
	serve   func(s *Server, r *request) (code int, body any, err error)
}

// StackList is all stacks, without their instances.
type StackList struct {
	Stacks []status.Stack `json:"stacks"`
}

// Revisions is the history of an instance, newest first.
type Revisions struct {
	Revisions []state.Revision `json:"revisions"`
}

// SyncBody says what is to be synchronised.
type SyncBody struct {
	Address string `json:"address,omitempty"` // of one instance; "": the whole stack
}

// VerdictBody says about which change a person decides.
type VerdictBody struct {
	Address string `json:"address"`
	Digest  string `json:"change_digest,omitempty"` // "": the change that waits now
}

// RollbackBody says what returns to which revision.
type RollbackBody struct {
	Address  string `json:"address"`
	Revision uint64 `json:"revision,omitempty"` // 0: the one before the newest
	Reason   string `json:"reason,omitempty"`   // shown wherever the hold is shown
}

// ReleaseBody says what is no longer held.
type ReleaseBody struct {
	Address string `json:"address"`
}

// Nothing is the answer of what returns nothing.
type Nothing struct{}

const (
	stackPath    = "/api/v1/stacks/{stack}"
	instancePath = stackPath + "/instances/{address}"
)

// endpoints returns the table of endpoints.
func endpoints() []endpoint {
	return []endpoint{
		{Name: "listStacks", Method: "GET", Path: "/api/v1/stacks", Verb: Get, Summary: "List the stacks", Answer: StackList{}, serve: listStacks},
		{Name: "getStack", Method: "GET", Path: stackPath, Verb: Get, Summary: "A stack with its instances", Answer: status.Stack{}, serve: getStack},
		{Name: "getInstance", Method: "GET", Path: instancePath, Verb: Get, Summary: "One instance", Answer: status.Instance{}, serve: getInstance},
		{Name: "getHistory", Method: "GET", Path: instancePath + "/history", Verb: Get, Summary: "The applied revisions of an instance, newest first", Answer: Revisions{}, serve: getHistory},
		{Name: "getOrder", Method: "GET", Path: stackPath + "/orders/{token}", Verb: Get, Summary: "An order of a person", Answer: status.Order{}, serve: getOrder},
		{Name: "plan", Method: "POST", Path: stackPath + "/plan", Verb: Plan, Summary: "Plan the stack now; nothing is applied", Answer: plan.Plan{}, serve: makePlan},
		{Name: "sync", Method: "POST", Path: stackPath + "/sync", Verb: Sync, Summary: "Look at a stack or an instance now, and apply what may go", Body: SyncBody{}, Answer: status.Order{}, Changes: true, serve: syncStack},
		{Name: "suspend", Method: "POST", Path: stackPath + "/suspend", Verb: Sync, Summary: "Act on orders of persons only", Answer: Nothing{}, Changes: true, serve: suspend},
		{Name: "resume", Method: "POST", Path: stackPath + "/resume", Verb: Sync, Summary: "End a suspension", Answer: Nothing{}, Changes: true, serve: resume},
		{Name: "approve", Method: "POST", Path: stackPath + "/approve", Verb: Approve, Summary: "Let exactly this change go", Body: VerdictBody{}, Answer: status.Order{}, Changes: true, serve: approve},
		{Name: "reject", Method: "POST", Path: stackPath + "/reject", Verb: Approve, Summary: "Keep exactly this change from going", Body: VerdictBody{}, Answer: status.Order{}, Changes: true, serve: reject},
		{Name: "rollback", Method: "POST", Path: stackPath + "/rollback", Verb: Rollback, Summary: "Return an instance to an earlier revision, and hold it there", Body: RollbackBody{}, Answer: status.Order{}, Changes: true, serve: rollback},
		{Name: "release", Method: "POST", Path: stackPath + "/release", Verb: Rollback, Summary: "End the hold of a rollback", Body: ReleaseBody{}, Answer: status.Order{}, Changes: true, serve: release},
		{Name: "listen", Method: "GET", Path: "/api/v1/events", Verb: Get, Summary: "What happens, as server-sent events", Query: []string{"stack"}, stream: true, serve: listen},
		{Name: "openapi", Method: "GET", Path: "/api/v1/openapi.json", Verb: Get, Summary: "This document", serve: openAPI},
		{Name: "metrics", Method: "GET", Path: "/metrics", Verb: Get, Summary: "Metrics in Prometheus' text format", serve: metrics},
		{Name: "healthz", Method: "GET", Path: "/healthz", Summary: "The process works", serve: healthz},
		{Name: "readyz", Method: "GET", Path: "/readyz", Summary: "All stacks were opened, or wait for their lock", serve: readyz},
	}
}

func listStacks(s *Server, r *request) (int, any, error) {
	list := StackList{Stacks: []status.Stack{}}
	for _, stack := range s.options.Loop.Stacks() {
		if r.who.may(Get, stack.Name) {
			list.Stacks = append(list.Stacks, stack)
		}
	}
	return http.StatusOK, list, nil
}

func getStack(s *Server, r *request) (int, any, error) {
	stack, err := s.options.Loop.Stack(r.PathValue("stack"))
	return http.StatusOK, stack, err
}

func getInstance(s *Server, r *request) (int, any, error) {
	stack, err := s.options.Loop.Stack(r.PathValue("stack"))
	if err != nil {
		return 0, nil, err
	}
	for i := range stack.Instances {
		if stack.Instances[i].Address == r.PathValue("address") {
			return http.StatusOK, stack.Instances[i], nil
		}
	}
	return 0, nil, &reconcile.NotFoundError{What: "there is no instance " + r.PathValue("address")}
}

func getHistory(s *Server, r *request) (int, any, error) {
	list, err := s.options.Loop.History(r.Context(), r.PathValue("stack"), r.PathValue("address"))
	if list == nil {
		list = []state.Revision{}
	}
	return http.StatusOK, Revisions{list}, err
}

func getOrder(s *Server, r *request) (int, any, error) {
	o, err := s.options.Loop.Order(r.PathValue("stack"), r.PathValue("token"))
	return http.StatusOK, o, err
}

func makePlan(s *Server, r *request) (int, any, error) {
	p, err := s.options.Loop.Plan(r.Context(), r.PathValue("stack"))
	return http.StatusOK, p, err
}

func syncStack(s *Server, r *request) (int, any, error) {
	var body SyncBody
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	o, err := s.options.Loop.Sync(r.PathValue("stack"), body.Address, r.who.name)
	return http.StatusAccepted, o, err
}

func suspend(s *Server, r *request) (int, any, error) {
	return http.StatusOK, Nothing{}, s.options.Loop.Suspend(r.Context(), r.PathValue("stack"), r.who.name)
}

func resume(s *Server, r *request) (int, any, error) {
	return http.StatusOK, Nothing{}, s.options.Loop.Resume(r.Context(), r.PathValue("stack"))
}

func approve(s *Server, r *request) (int, any, error) {
	v, err := r.verdict()
	if err != nil {
		return 0, nil, err
	}
	o, err := s.options.Loop.Approve(r.Context(), r.PathValue("stack"), v)
	return http.StatusAccepted, o, err
}

func reject(s *Server, r *request) (int, any, error) {
	v, err := r.verdict()
	if err != nil {
		return 0, nil, err
	}
	o, err := s.options.Loop.Reject(r.Context(), r.PathValue("stack"), v)
	return http.StatusAccepted, o, err
}

func rollback(s *Server, r *request) (int, any, error) {
	var body RollbackBody
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	if body.Address == "" {
		return 0, nil, &badRequest{"address is missing: it names the instance that returns to an earlier revision"}
	}
	by := reconcile.Verdict{Address: body.Address, Who: r.who.name, Where: from(r.Request)}
	o, err := s.options.Loop.Rollback(r.PathValue("stack"), body.Address, body.Revision, body.Reason, by)
	return http.StatusAccepted, o, err
}

func release(s *Server, r *request) (int, any, error) {
	var body ReleaseBody
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	o, err := s.options.Loop.Release(r.PathValue("stack"), body.Address, r.who.name)
	return http.StatusAccepted, o, err
}

func (r *request) verdict() (reconcile.Verdict, error) {
	var body VerdictBody
	if err := r.read(&body); err != nil {
		return reconcile.Verdict{}, err
	}
	if body.Address == "" {
		return reconcile.Verdict{}, &badRequest{"address is missing: it names the instance whose change waits"}
	}
	return reconcile.Verdict{Address: body.Address, Digest: body.Digest, Who: r.who.name, Where: from(r.Request)}, nil
}

func healthz(*Server, *request) (int, any, error) {
	return http.StatusOK, map[string]string{"status": "ok"}, nil
}

func readyz(s *Server, _ *request) (int, any, error) {
	for _, stack := range s.options.Loop.Stacks() {
		if stack.Phase == status.Opening {
			return http.StatusServiceUnavailable, map[string]string{"status": "opening stacks"}, nil
		}
	}
	return http.StatusOK, map[string]string{"status": "ok"}, nil
}
