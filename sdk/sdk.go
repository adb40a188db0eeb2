// Package sdk is all that the author of a davit plugin needs.
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
// Further tags say what a value must be like: pattern (a regular expression), enum (the texts that there are, separated by
// commas), min and max (of a number, or how long a text, list or map is); pattern and enum of a list or map are about each
// element. They are in the schema and its reference, and checked before a method sees the value. A field with the tag
// deprecated, which says what to use instead, warns when it is set:
//
//	Mode   string   `davit:"mode,optional" default:"min" enum:"min,max" doc:"What is kept."`
//	Name   string   `davit:"name" pattern:"^[a-z]+$" max:"63" doc:"Its name."`
//	Branch string   `davit:"branch,optional" deprecated:"Use ref instead." doc:"Branch to follow."`
//
// A field that is not a Value is always known when a method sees it: while a plan has
// an unknown for such a field, the sdk answers for the plugin that the instance is
// planned at apply. Put Value where a plan can say something useful without it.
//
// A method reports what is wrong by returning an error: an *Error or Errors says where in the
// configuration and what to do next, and may be wrapped or joined; a warning leaves the result
// as it is. A panic becomes an error of its instance and stops nothing else.
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

// New makes a plugin. It panics when a type's structs cannot be turned into a schema or
// lack an output that its kind promises: both are mistakes of the author's that the first run shows.
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
	// Observe reads the world as the configuration says. Concurrent calls are normal. Log and AddItem take the context.
	Observe(ctx context.Context, r ObserveRequest[C, O]) (O, error)
}

// ObserveRequest asks what there is to see for one instance.
type ObserveRequest[C, O any] struct {
	Address string
	Config  C
	Prior   *O // the outputs that state has of the instance; nil when it has none
	// Pinned are the outputs that Observe must reproduce: the same revision, and its files on this machine. Nil when
	// Observe is free to look.
	Pinned *O
}

// ImageObserver lists the tags of a repository and looks at one of them.
// O must have the outputs "repository" (string) and "tags" ([]string).
type ImageObserver[C, O any] interface {
	Observer[C, O]
	// Resolve looks at one tag. A tag that is not there is an error.
	Resolve(ctx context.Context, r ResolveRequest[C]) (Resolved, error)
}

// ResolveRequest asks what there is to know of one tag.
type ResolveRequest[C any] struct {
	Address string
	Config  C
	Tag     string
	Look    Look
}

// Look is how much Resolve is asked for. It may answer more.
type Look int

// The looks. To find the digest alone, most registries need one small request.
const (
	LookAll      Look = iota
	LookDigest        // Resolved.Digest
	LookArtifact      // Resolved.Digest and Artifact
)

// Resolved is what there is to know of one tag.
type Resolved struct {
	Digest    string    // "sha256:..."
	Platforms []string  // "linux/arm/v7"; none when not known
	Created   time.Time // zero when not known
	// Artifact is what the tag holds if that is not an image: "Helm chart". No policy chooses such a tag.
	Artifact string
}

// Decider is a policy: a pure function of its request.
type Decider[C any] interface {
	Decide(ctx context.Context, r DecideRequest[C]) (Decision, error)
}

// DecideRequest asks which of the candidates are acceptable, and in which order.
type DecideRequest[C any] struct {
	Address    string
	Config     C
	Candidates Candidates
}

// Candidates is what a policy chooses from.
type Candidates struct {
	Tags    []string // all of them, in no order; holds Current even if it was withdrawn, unless going back is allowed
	Current string   // chosen before; empty at first
	// Facts are known of the tags that the policy asked for with Decision.LookAt. Those of a Current that was withdrawn are empty:
	// a policy that refuses it chooses an older tag in its place.
	Facts map[string]Resolved
}

// Decision is what a policy says: the acceptable tags, best first. No acceptable tag is
// not an error of the policy's: davit reports it with the rejections.
type Decision struct {
	Ranked   []string
	Reason   string // why the first one: "highest of 3 tags in range >=1.0.0"
	Rejected []Rejection
	// LookAt are tags whose facts the policy needs before it can decide: it is asked again when they are known. What else the
	// decision holds is not used then.
	LookAt []string
}

// Rejection is a tag that was not acceptable, and why.
type Rejection struct {
	Tag    string
	Reason string
}

// Managed is planned, applied and recorded: a build or an application.
type Managed[C, O any] interface {
	// Plan reads the real object, compares and says what Apply would do. No side effects.
	Plan(ctx context.Context, r PlanRequest[C, O]) (PlanResult[O], error)
	// Apply carries out what was planned: create, update, replace, build or adopt. It must find
	// and finish its own work when it is called again for an operation that was cut off.
	// The context ends when the operation is cancelled. On an error, what already exists
	// must have been told through Save.
	Apply(ctx context.Context, r ApplyRequest[C, O]) (Result[O], error)
	// Destroy deletes the object. One that is gone already is a success.
	Destroy(ctx context.Context, r DestroyRequest[C, O]) error
}

// Validator is implemented by a type (of any kind) that checks its configuration without looking at the world.
// Return Errors for several findings at once. It is asked when everything that is not a Value
// is known: by "davit validate" if possible, and again before each Plan, Observe and Decide.
type Validator[C any] interface {
	Validate(ctx context.Context, config C) error
}

// Importer is implemented by a Managed type that can take over an object that was made by other means.
type Importer[C, O any] interface {
	// Import looks at the object with that id and says what state would keep of it, had this type made it. It has
	// no side effects. What differs from the configuration is found by the next Plan.
	Import(ctx context.Context, r ImportRequest[C]) (Result[O], error)
}

// ImportRequest asks for an existing object.
type ImportRequest[C any] struct {
	Address string
	Config  C      // of the block that is to manage the object
	ID      string // what the type calls the object: "shop/web"
}

// Record is what state keeps of an instance: its configuration and outputs (sensitive ones are zero) and the plugin's own bytes.
type Record[C, O any] struct {
	Config  C
	Outputs O
	Private []byte
}

// PlanRequest asks what would be done to one instance.
type PlanRequest[C, O any] struct {
	Address string
	Config  C             // of the record when Destroy is set and the block is gone
	Prior   *Record[C, O] // nil when state knows nothing of it
	Destroy bool          // plan its deletion
	Private []byte        // planning again at apply: Private of the reviewed plan's result
}

// PlanResult says what Apply would do.
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
	// Transferred are claims of this instance that another instance takes over in the same apply. Apply leaves these things
	// as they are and forgets them: its result no longer holds them.
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
	// things as they are.
	Transferred []Claim
}

// Result is what an operation has made, for state to keep.
type Result[O any] struct {
	Outputs O
	Private []byte // never holds a secret
}

// Action is what happens to an instance or an item.
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
