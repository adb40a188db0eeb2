// Package plan is the plan as data: what davit would do, why, in which order, and what
// it looked at to say so. Nothing here decides or prints.
//
// A plan can be saved; the file is self-describing, pinned to a state, and carries a
// digest over all of it. It never holds a secret.
package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Format is the version of the plan's JSON form.
const Format = 1

// Plan is everything a person reviews and everything an apply needs besides the stack's own files.
type Plan struct {
	Format  int       `json:"format_version"`
	Davit   string    `json:"davit_version"`
	Created time.Time `json:"created"`
	Mode    Mode      `json:"mode"`
	State   StateRef  `json:"state"`
	// Config is a digest of the stack's files; an apply with other ones is refused.
	Config    string                     `json:"config_digest"`
	Files     map[string]string          `json:"files,omitempty"`     // by name, what tells their contents apart: to say which one has changed
	Variables map[string]json.RawMessage `json:"variables,omitempty"` // the values that it was made with; sensitive ones are absent
	// Secrets has a keyed fingerprint of each sensitive variable, "" where there was no key: their values are given again at apply.
	Secrets      map[string]string `json:"sensitive_variables,omitempty"`
	Plugins      []Plugin          `json:"plugins"`
	Observations []Observation     `json:"observations"`
	Changes      []Change          `json:"changes"` // every managed instance, in the order of the configuration, deletions of vanished blocks last
	Images       []ImageChange     `json:"image_changes,omitempty"`
	Outputs      []Output          `json:"outputs,omitempty"`
	Checks       []Check           `json:"checks,omitempty"`
	Moves        []Move            `json:"moves,omitempty"` // records that get another address, before anything else
	// Targets, Excludes and Replace are what the person asked for; a plan with targets or excludes is a part of the whole.
	Targets  []string     `json:"targets,omitempty"`
	Excludes []string     `json:"excludes,omitempty"`
	Replace  []string     `json:"replace,omitempty"`
	Warnings []Diagnostic `json:"warnings,omitempty"`
	// Rollback is the instance that is brought back to an earlier revision. Everything else is left alone, and is what state has of it.
	Rollback string `json:"rollback,omitempty"`
	// Transfers are the things that change their owner: nobody deletes them.
	Transfers []Transfer `json:"transfers,omitempty"`
	// Steps are the order of the work.
	Steps []Step `json:"steps,omitempty"`
	// Leftovers are deleted as their steps say.
	Leftovers []Leftover `json:"leftovers,omitempty"`
	// Damaged are the instances that are left out, with what depends on them, because their records in state cannot be read.
	Damaged []string `json:"damaged,omitempty"`
	// Failed are the instances that cannot be planned. They stay as they are, and so does what depends on them.
	Failed []Failure `json:"failed,omitempty"`
	// Waiting are the changes that are left out because they wait at a gate of the stack.
	Waiting []Waiting `json:"waiting,omitempty"`
	// Approvals are what people have approved of the changes, Overrides the gates that a person has set aside.
	Approvals []Approval `json:"approvals,omitempty"`
	Overrides []Override `json:"overrides,omitempty"`
	Summary   Summary    `json:"summary"`
	Digest    string     `json:"digest"` // sha256 over the plan with this field empty and Created zero
}

// Mode is what the plan is for.
type Mode string

// The modes.
const (
	ModeApply   Mode = "apply"
	ModeDestroy Mode = "destroy"
	// ModeRefresh compares the world with what was last applied and brings state up to date; it changes nothing else.
	ModeRefresh Mode = "refresh"
)

// StateRef names the state that the plan was made against.
type StateRef struct {
	Lineage string `json:"lineage,omitempty"`
	Serial  uint64 `json:"serial"`
	// Updated is when the newest record was written: later ones are news.
	Updated time.Time `json:"updated,omitzero"`
}

// Plugin is a plugin that took part.
type Plugin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Checksum is "sha256:..." of what davit.lock.hcl pins it by; empty for a built-in, and for one that a person has started.
	Checksum string `json:"checksum,omitempty"`
}

// Action is what happens to an instance or an item. The words are those of the protocol.
type Action string

// The actions.
const (
	None    Action = "none"
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
	Build   Action = "build"
	Adopt   Action = "adopt"
	Forget  Action = "forget" // leave it alone, and remove it from state
	// Keep is how holding an instance that is at its revision already ends: nothing but state is changed.
	Keep Action = "hold"
)

// Observation is what one source, image or policy was seen to be. An apply uses it as it stands.
type Observation struct {
	Address string   `json:"address"`
	Kind    string   `json:"kind"`
	Type    string   `json:"type"`
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons,omitempty"`
	Outputs Value    `json:"outputs"`
	Before  *Value   `json:"before,omitempty"` // outputs at the last apply
	// ReadAfter are the managed instances that change before it is looked at, because of depends_on. Its outputs are unknown until then.
	ReadAfter []string `json:"read_after,omitempty"`
	Items     []Item   `json:"items,omitempty"` // a source: the commits since the last apply
	// Rejected are the tags that a policy refused, and why.
	Rejected  []Rejection `json:"rejected,omitempty"`
	DependsOn []string    `json:"depends_on,omitempty"`
	Private   []byte      `json:"private,omitempty"`
}

// Rejection is a tag that a policy refused.
type Rejection struct {
	Tag    string `json:"tag"`
	Reason string `json:"reason"`
}

// Change is what would happen to one managed instance.
type Change struct {
	Address string   `json:"address"`
	Kind    string   `json:"kind"`
	Type    string   `json:"type"`
	Plugin  string   `json:"plugin"`
	Action  Action   `json:"action"`
	Reasons []string `json:"reasons,omitempty"`
	// Causes say why, for machines; Reasons say it for people.
	Causes []Cause `json:"causes,omitempty"`
	Items  []Item  `json:"items,omitempty"`
	// Claims are the opaque keys of the things in the world that the instance owns after the apply. None after a deletion.
	Claims []string `json:"claims,omitempty"`
	// Arguments are those that are not what was applied last, or all that are set when it is new. Nothing of what does not change.
	Arguments []Field `json:"arguments,omitempty"`
	// Fingerprints are keyed hashes of the sensitive arguments, by path, of what changes: an apply is with the same ones.
	Fingerprints map[string]string `json:"fingerprints,omitempty"`
	Before       *Value            `json:"before,omitempty"` // outputs in state; absent when nothing changes
	After        *Value            `json:"after,omitempty"`  // planned outputs
	Images       []ImageUse        `json:"images,omitempty"` // applications: the images that they run
	// WaitsFor are the managed instances whose results this one's unknown values wait for.
	WaitsFor []string `json:"waits_for,omitempty"`
	// DependsOn are the instances that this one depends on, as its configuration says; for a deletion, as its record says. The order
	// of the work is in the plan's steps.
	DependsOn []string `json:"depends_on,omitempty"`
	// Deferred says that the configuration is not known enough to plan: it is planned in full at apply.
	Deferred bool   `json:"deferred,omitempty"`
	Private  []byte `json:"private,omitempty"` // the plugin's own
	// Record is what of its record is out of date although nothing is to be done: "arguments", "outputs", "dependencies", "claims". An
	// apply brings it up to date.
	Record []string `json:"record,omitempty"`
	// LastResult says of a build that it was left out, or could not be planned, and that others see what it made last.
	LastResult bool `json:"last_result,omitempty"`
	// MovedFrom is the address that the instance had before, Import what existing object it takes over.
	MovedFrom string `json:"moved_from,omitempty"`
	Import    string `json:"import,omitempty"`
	// AsIs says of an adoption that nothing is to be done but to write the record: the plugin has found it as it should be. In a
	// refresh, that it was found as it was to be applied last.
	AsIs bool `json:"as_is,omitempty"`
	// Hold says that it is kept at an earlier revision, whatever its block says.
	Hold *Hold `json:"hold,omitempty"`
	// TwoSteps says that a replacement is a deletion and a creation, because the person or the
	// configuration asked for it; CreateFirst, that the new one is made before the old one is deleted.
	TwoSteps    bool `json:"two_steps,omitempty"`
	CreateFirst bool `json:"create_first,omitempty"`
	// Kept are the arguments that stay as they were applied last, because the image that they name waits at a gate.
	Kept []string `json:"kept,omitempty"`
	// CreateFirstFor is the block with create_before_destroy that depends on this one, when its own block does not say so.
	CreateFirstFor string `json:"create_first_for,omitempty"`
}

// Holds tells whether the change begins a hold.
func (c *Change) Holds() bool { return c.Hold != nil && c.Hold.Since.IsZero() }

// Works tells whether an apply does something about the instance besides giving others its value.
func (c *Change) Works() bool { return c.Action != None || c.Holds() || c.Deferred }

// Changed are the arguments that a person sees: none where the plugin tells in items of its own what changes.
func (c *Change) Changed() []Field {
	if len(c.Items) > 0 {
		return nil
	}
	return c.Arguments
}

// Hold says at which revision an instance is kept, and why.
type Hold struct {
	Revision uint64 `json:"revision"`
	Who      string `json:"who,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// Since is when it was held; zero if this plan does it.
	Since time.Time `json:"since,omitzero"`
}

// Leftover is what a replacement that was cut off has left to be deleted.
type Leftover struct {
	Address   string `json:"address"`   // of the instance that was being replaced
	Operation string `json:"operation"` // in state, that did not end
	// New says that it is the new one, which is not to be any more: else it is the old one.
	New bool `json:"new,omitempty"`
	// DependsOn are the managed instances that it stands on: they are deleted after it.
	DependsOn []string `json:"depends_on,omitempty"`
}

// Transfer is a thing that one instance gives up and another one takes over.
type Transfer struct {
	Claim string `json:"claim"`
	From  string `json:"from"` // addresses
	To    string `json:"to"`
}

// Move is a record that gets another address.
type Move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Check is an assertion of a check block, or a condition of an instance.
type Check struct {
	Address string `json:"address"` // "check.name", or that of the instance
	Status  string `json:"status"`  // "pass", "fail", "unknown"
	Message string `json:"message,omitempty"`
}

// ImageUse is an image that an application runs, before and after.
type ImageUse struct {
	Name    string `json:"name"`
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"` // a known prefix when unknown
	Unknown bool   `json:"unknown,omitempty"`
}

// Item is a change nested in an instance: a Kubernetes object, a platform, a commit.
type Item struct {
	Key    string  `json:"key"`
	Kind   string  `json:"kind"`
	Name   string  `json:"name"`
	Action Action  `json:"action"`
	Fields []Field `json:"fields,omitempty"`
	Note   string  `json:"note,omitempty"`
	Causes []Cause `json:"causes,omitempty"`
	// Claim is the claim of the thing that the item stands for; "" when the plugin makes none for it.
	Claim string `json:"claim,omitempty"`
	// MovedTo and MovedFrom are the addresses of the instance that takes the thing over, and of the one that it is taken from.
	MovedTo   string `json:"moved_to,omitempty"`
	MovedFrom string `json:"moved_from,omitempty"`
}

// Field is one changed value of an item.
type Field struct {
	Path      string          `json:"path"`
	Before    json.RawMessage `json:"before,omitempty"` // absent: was not there
	After     json.RawMessage `json:"after,omitempty"`  // absent: will not be there, or unknown
	Unknown   bool            `json:"unknown,omitempty"`
	Prefix    string          `json:"prefix,omitempty"` // of an unknown string
	Sensitive bool            `json:"sensitive,omitempty"`
}

// ImageChange is an image that changes in an application, and what is behind it.
type ImageChange struct {
	Application string   `json:"application"` // address
	Name        string   `json:"name"`        // where in it
	Before      string   `json:"before,omitempty"`
	After       string   `json:"after,omitempty"` // a known prefix when unknown
	Unknown     bool     `json:"unknown,omitempty"`
	Build       string   `json:"build,omitempty"`  // address of the build that makes it
	Source      string   `json:"source,omitempty"` // address of the source that it is built from
	From        string   `json:"from_revision,omitempty"`
	To          string   `json:"to_revision,omitempty"`
	Commits     []Commit `json:"commits,omitempty"` // newest first
}

// Commit is one commit of a range.
type Commit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
}

// Diagnostic is a warning that belongs to the plan, or an error of an instance that cannot be planned.
type Diagnostic struct {
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	Address string `json:"address,omitempty"`
	Where   string `json:"where,omitempty"` // file:line
	Hint    string `json:"hint,omitempty"`  // what to do next; of errors only
	Code    string `json:"code,omitempty"`  // of errors only
}

// Failure is an instance that cannot be planned, or a block or a module whose instances cannot be told.
type Failure struct {
	Address     string       `json:"address"`
	Diagnostics []Diagnostic `json:"diagnostics"` // the errors
	// Dependents are the instances that are left out because they depend on it, directly or not.
	Dependents []string `json:"dependents,omitempty"`
	// Kept are the recorded instances that would be deleted, and stay because it or its dependents need them.
	Kept []string `json:"kept,omitempty"`
}

// Summary counts the changes by action, and the nested deletions.
type Summary struct {
	Create       int `json:"create"`
	Update       int `json:"update"`
	Replace      int `json:"replace"`
	Delete       int `json:"delete"`
	Build        int `json:"build"`
	Adopt        int `json:"adopt"`
	Forget       int `json:"forget,omitempty"`
	Hold         int `json:"hold,omitempty"`  // what is at the revision already at which it will be held
	Drift        int `json:"drift,omitempty"` // in a refresh: what differs from what was last applied
	None         int `json:"none"`
	Waiting      int `json:"waiting,omitempty"` // what waits at a gate, and is not counted above
	ItemsDeleted int `json:"items_deleted"`     // nested deletions in changes that are not deletions themselves
}

// Partial tells whether the plan is about a part of the stack only.
func (p *Plan) Partial() bool {
	return len(p.Targets)+len(p.Excludes)+len(p.Damaged)+len(p.Failed)+len(p.Waiting) > 0
}

// NotInIt are the addresses that something in the plan depends on and that are not in it themselves.
func (p *Plan) NotInIt() []string {
	in, out := map[string]bool{}, map[string]bool{}
	var needed []string
	for i := range p.Observations {
		in[p.Observations[i].Address] = true
		needed = append(needed, p.Observations[i].DependsOn...)
	}
	for i := range p.Changes {
		in[p.Changes[i].Address] = true
		needed = append(needed, p.Changes[i].DependsOn...)
	}
	for _, address := range needed {
		if !in[address] {
			out[address] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// RecordsChanged tells whether an apply would bring records up to date, besides what it does.
func (p *Plan) RecordsChanged() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return len(c.Record) > 0 })
}

// Empty tells whether there is nothing to do: no change of an instance, a record or an output.
func (p *Plan) Empty() bool {
	if len(p.Moves)+len(p.Leftovers)+p.OutputsChanged() > 0 {
		return false
	}
	for i := range p.Changes {
		if p.Changes[i].Action != None || p.Changes[i].Holds() {
			return false
		}
	}
	return true
}

// Summarise counts the changes.
func Summarise(changes []Change) Summary {
	var s Summary
	for _, c := range changes {
		switch c.Action {
		case Create:
			s.Create++
		case Update:
			s.Update++
		case Replace:
			s.Replace++
		case Delete:
			s.Delete++
		case Build:
			s.Build++
		case Adopt:
			s.Adopt++
		case Forget:
			s.Forget++
		case None:
			if c.Holds() {
				s.Hold++
			} else {
				s.None++
			}
		default:
			s.None++
		}
		if c.Action == Delete {
			continue
		}
		for _, i := range c.Items {
			if i.Action == Delete || i.Action == Replace {
				s.ItemsDeleted++
			}
		}
	}
	return s
}
