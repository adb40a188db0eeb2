// Package sdk is the API for the authors of davit plugins.
//
// A plugin is an executable that serves one or more types. A type is a Go value with a
// few typed methods; its configuration and outputs are plain structs whose schema comes
// from their tags:
//
//	type Config struct {
//		URL      string         `davit:"url" doc:"Where the repository is."`
//		Branch   string         `davit:"branch,optional" default:"main" doc:"Branch to follow."`
//		Token    string         `davit:"token,optional,sensitive" doc:"Access token."`
//		Timeout  sdk.Duration   `davit:"timeout,optional" default:"30s" doc:"How long to try."`
//		Digest   sdk.Value[string] `davit:"digest,optional" doc:"May be unknown while planning."`
//		Filter   *Filter        `davit:"filter,block" doc:"A nested block, at most one."`
//		Rules    []Rule         `davit:"rule,block" doc:"A nested block, any number."`
//	}
//
// Field types: string, bool, int, int64, float64, Duration, structs (objects), slices
// (lists), map[string]T, pointers (null is nil), Value[T]. An attribute is required
// unless it says optional, or has a default. Embedded structs are part of the struct that
// embeds them; a field without a davit tag is the plugin's own.
//
// Further tags limit a value: pattern (a regular expression), enum (the allowed texts, separated by
// commas), min and max (of a number, or of the length of a text, list or map). pattern and enum of a list or map apply to each
// element. The limits are in the schema and its reference, and are checked before a method sees the value. A field with the tag
// deprecated, whose text names the replacement, warns when it is set:
//
//	Mode   string   `davit:"mode,optional" default:"min" enum:"min,max" doc:"What is kept."`
//	Name   string   `davit:"name" pattern:"^[a-z]+$" max:"63" doc:"Its name."`
//	Branch string   `davit:"branch,optional" deprecated:"Use ref instead." doc:"Branch to follow."`
//
// A field that is not a Value is always known when a method sees it: while a plan has
// an unknown for such a field, the sdk answers for the plugin that the instance is
// planned at apply. Put Value where a plan can say something useful without it.
//
// A method reports problems by returning an error: an *Error or Errors has the place in the
// configuration and the next step, and may be wrapped or joined. With only warnings, the result
// is used. A panic becomes an error of its instance and stops nothing else.
//
// main is one line:
//
//	func main() { sdk.Serve(sdk.New("telegram", version, sdk.Source("x", source{}))) }
package sdk

import (
	"context"
	"fmt"
	"regexp"
	"time"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Plugin is a named, versioned set of types.
type Plugin struct {
	name, version string
	types         map[typeKey]*typeInfo
	description   *pluginv1.DescribeResponse
}

type typeKey struct{ kind, name string }

// New returns a plugin. It panics if a type's structs cannot be turned into a schema or
// lack an output that its kind promises: the first run shows these mistakes of the author.
func New(name, version string, types ...Type) *Plugin {
	p := &Plugin{name: name, version: version, types: map[typeKey]*typeInfo{}}
	p.description = &pluginv1.DescribeResponse{Name: name, Version: version, ManyStacks: true}
	if !rePluginName.MatchString(name) {
		panic(fmt.Sprintf("%q is not a name of a plugin: use lower-case letters, digits, - and _", name))
	}
	for _, t := range types {
		info := t.compiled()
		key := typeKey{info.kind, info.name}
		if p.types[key] != nil {
			panic(fmt.Sprintf("plugin %s has two types %s %q", name, info.kind, info.name))
		}
		p.types[key] = info
		d, err := info.describe()
		if err != nil {
			panic(fmt.Sprintf("%s %q: %v", info.kind, info.name, err))
		}
		p.description.Types = append(p.description.Types, d)
	}
	return p
}

var rePluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// Observer reads something without side effects. It is the whole of a source.
type Observer[C, O any] interface {
	// Observe reads the objects of the configuration. Concurrent calls are normal. Log and AddItem take the context.
	Observe(ctx context.Context, r ObserveRequest[C, O]) (O, error)
}

// ObserveRequest is the request to observe one instance.
type ObserveRequest[C, O any] struct {
	Address string
	Config  C
	Prior   *O // the outputs that state has of the instance; nil when it has none
	// Pinned are the outputs that Observe must reproduce: the same revision, and its files on this machine. Nil: Observe
	// finds the current revision.
	Pinned *O
}

// ImageObserver lists the tags of a repository, and resolves one of them.
// O must have the outputs "repository" (string) and "tags" ([]string).
type ImageObserver[C, O any] interface {
	Observer[C, O]
	// Resolve returns the facts of one tag. A missing tag is an error.
	Resolve(ctx context.Context, r ResolveRequest[C]) (Resolved, error)
}

// ResolveRequest is the request for the facts of one tag.
type ResolveRequest[C any] struct {
	Address string
	Config  C
	Tag     string
	Look    Look
}

// Look is the set of facts that Resolve must return. It may return more.
type Look int

// The looks. To find the digest alone, most registries need one small request.
const (
	LookAll      Look = iota
	LookDigest        // Resolved.Digest
	LookArtifact      // Resolved.Digest and Artifact
)

// Resolved has the facts of one tag.
type Resolved struct {
	Digest    string    // "sha256:..."
	Platforms []string  // "linux/arm/v7"; none when not known
	Created   time.Time // zero when not known
	// Artifact names the content of the tag if it is not an image: "Helm chart". No policy chooses such a tag.
	Artifact string
}

// Decider is a policy: a pure function of its request.
type Decider[C any] interface {
	Decide(ctx context.Context, r DecideRequest[C]) (Decision, error)
}

// DecideRequest is the request to rank the candidates.
type DecideRequest[C any] struct {
	Address    string
	Config     C
	Candidates Candidates
}

// Candidates are the tags from which a policy chooses.
type Candidates struct {
	Tags    []string // all of them, in no order; holds Current even if it was withdrawn, unless going back is allowed
	Current string   // chosen before; empty at first
	// Facts are known of the tags that the policy asked for with Decision.LookAt. Those of a Current that was withdrawn are empty:
	// a policy that refuses it chooses an older tag in its place.
	Facts map[string]Resolved
}

// Decision is the answer of a policy: the acceptable tags, best first. Without an acceptable tag, return an
// empty ranking and no error: davit reports it with the rejections.
type Decision struct {
	Ranked   []string
	Reason   string // why the first one: "highest of 3 tags in range >=1.0.0"
	Rejected []Rejection
	// LookAt are tags whose facts the policy needs before it can decide: davit calls Decide again with them, and ignores
	// the rest of this decision.
	LookAt []string
}

// Rejection is a rejected tag with the reason.
type Rejection struct {
	Tag    string
	Reason string
}

// Managed is planned, applied and recorded: a build or an application.
type Managed[C, O any] interface {
	// Plan reads the real object, compares, and returns the action of Apply. It has no side effects.
	Plan(ctx context.Context, r PlanRequest[C, O]) (PlanResult[O], error)
	// Apply carries out the planned action: create, update, replace, build or adopt. When it is called again for an
	// interrupted operation, it must find and finish its own work.
	// The context ends when the operation is cancelled. Before Apply returns an error, it must have
	// reported the existing objects with Save.
	Apply(ctx context.Context, r ApplyRequest[C, O]) (Result[O], error)
	// Destroy deletes the object. A missing object is not an error.
	Destroy(ctx context.Context, r DestroyRequest[C, O]) error
}

// Validator is implemented by a type (of any kind) that checks its configuration without I/O.
// Return Errors for several findings at once. It is called when all fields that are not a Value
// are known: by "davit validate" if possible, and again before each Plan, Observe and Decide.
type Validator[C any] interface {
	Validate(ctx context.Context, config C) error
}

// Importer is implemented by a Managed type that can take over an object that davit did not create.
type Importer[C, O any] interface {
	// Import reads the object with that ID and returns its record, as if this type had created it. It has
	// no side effects. The next Plan finds the differences from the configuration.
	Import(ctx context.Context, r ImportRequest[C]) (Result[O], error)
}

// ImportRequest is the request to import an existing object.
type ImportRequest[C any] struct {
	Address string
	Config  C      // of the block that is to manage the object
	ID      string // what the type calls the object: "shop/web"
}

// Record is the state of an instance: its configuration and outputs (sensitive values are zero) and the plugin's own bytes.
type Record[C, O any] struct {
	Config  C
	Outputs O
	Private []byte
}

// PlanRequest is the request to plan one instance.
type PlanRequest[C, O any] struct {
	Address string
	Config  C             // of the record when Destroy is set and the block is gone
	Prior   *Record[C, O] // nil when state knows nothing of it
	Destroy bool          // plan its deletion
	Private []byte        // planning again at apply: Private of the reviewed plan's result
}

// PlanResult is the planned change of one instance.
type PlanResult[O any] struct {
	Action  Action
	Reasons []string // why, for people: "Deployment/web was changed by kubectl-edit"
	Causes  []Cause  // why, for machines; none with ActionNone
	Claims  []Claim  // the things that the instance owns after the apply, each once; none for a deletion
	Items   []Item
	Images  []ImageUse // applications: the images that they run
	Outputs O          // as they will be; Value fields may be unknown
	Private []byte     // kept in the plan and handed to Apply; never holds a secret
}

// ApplyRequest is one planned change to carry out.
type ApplyRequest[C, O any] struct {
	Operation  string // id, the same in every try
	Address    string
	Action     Action
	Config     C // wholly known
	Prior      *Record[C, O]
	Planned    O
	Private    []byte     // PlanResult.Private
	Checkpoint *Result[O] // what an earlier try had told Save
	// Transferred are claims of this instance that another instance takes over in the same apply. Apply leaves these objects
	// unchanged and removes them from its result.
	Transferred []Claim
}

// DestroyRequest is one planned deletion to carry out.
type DestroyRequest[C, O any] struct {
	Operation string
	Address   string
	Config    C // of the record when the block is gone
	Prior     Record[C, O]
	Private   []byte // PlanResult.Private
	// Transferred are claims of this instance that another instance takes over in the same apply. Destroy leaves these
	// objects unchanged.
	Transferred []Claim
}

// Result is the result of an operation, which the state keeps.
type Result[O any] struct {
	Outputs O
	Private []byte // never holds a secret
}

// Action is the action of a change or an item.
type Action string

// The actions.
const (
	ActionNone    Action = "none"
	ActionCreate  Action = "create"
	ActionUpdate  Action = "update"
	ActionReplace Action = "replace"
	ActionDelete  Action = "delete"
	ActionBuild   Action = "build"
	ActionAdopt   Action = "adopt" // take over what is there already
	// ActionForget answers a PlanRequest with Destroy: nothing is deleted, and davit removes the record without calling Destroy.
	ActionForget Action = "forget"
)

// Item is a change nested in one instance: a Kubernetes object, a platform, a commit.
type Item struct {
	Key    string // unique in the instance
	Kind   string // "Deployment"
	Name   string // "shop/web"
	Action Action
	Fields []Field
	Note   string  // one line
	Causes []Cause // as in PlanResult
	Claim  Claim   // of the thing that the item stands for; "" for none
}

// Field is one changed value of an item. Before and After are any JSON-like value, nil when absent.
type Field struct {
	Path      string // "spec.template.spec.containers[name=api].image"
	Before    any
	After     any
	Unknown   bool   // After is known after apply only
	Prefix    string // what is known of an unknown string
	Sensitive bool   // the sdk sends a mask instead of Before and After
}

// ImageUse is an image that an application runs, before and after.
type ImageUse struct {
	Name   string // where: "Deployment/shop/web:api"
	Before string // empty when new
	After  Value[string]
}
