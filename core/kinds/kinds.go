// Package kinds is the table of block kinds. Everything that depends on the kind of a block reads it: a new kind is one row here, and
// one contract in core/engine/look.
package kinds

import "github.com/zclconf/go-cty/cty"

// The names of the kinds.
const (
	Source       = "source"
	Image        = "image"
	Policy       = "policy"
	Build        = "build"
	Application  = "application"
	Notification = "notification"
)

// Class says how the engine treats the instances of a kind.
type Class int

const (
	// Observed instances are looked at while a plan is made. They have no side effects.
	Observed Class = iota
	// Managed instances are planned, applied and recorded.
	Managed
	// Told instances receive events. They are no part of a plan, and nothing refers to them.
	Told
)

// The arguments that the core adds to the types of a kind, and the attribute that it adds to every block.
const (
	Builds     = "builds"      // of an image: planned builds whose tags are candidates already
	ImageOf    = "image"       // of a policy: what to choose from
	AllowOlder = "allow_older" // of a policy: the current tag need not stay a candidate
	On         = "on"          // of a notification: the events that it receives
	Address    = "address"     // of every block: its own address
)

// The events that a notification can receive.
const (
	EventPlanned = "planned" // an apply begins
	EventApplied = "applied" // an apply has ended well
	EventFailed  = "failed"  // planning or applying has failed, in part at least
)

// Events returns the names of all events.
func Events() []string { return []string{EventPlanned, EventApplied, EventFailed} }

// Kind is one row of the table.
type Kind struct {
	Name  string
	Class Class
	// Outputs are the outputs that every type of the kind has.
	Outputs []string
	// Arguments are the arguments that the core adds to every type of the kind. Plugins do not see them.
	Arguments []Argument
	// Decides says that a plugin answers with a decision instead of outputs.
	Decides bool
	// Long is the output that grows with the registry: the history keeps it out. "" is none.
	Long string
}

// Argument is an argument that the core adds to a kind.
type Argument struct {
	Name     string
	Type     cty.Type
	Required bool
	Default  cty.Value // cty.NilVal: none
	Words    string    // the type in the words of the reference pages
	Help     string    // one sentence for the reference pages
}

var table = []Kind{
	{Name: Source, Class: Observed, Outputs: []string{"revision", "tree", "time"}},
	{
		Name: Image, Class: Observed, Outputs: []string{"repository", "tags"}, Long: "tags",
		Arguments: []Argument{{
			Name: Builds, Type: cty.DynamicPseudoType,
			Words: "list of builds", Help: "Builds whose planned tags are candidates as well.",
		}},
	},
	{
		Name: Policy, Class: Observed, Decides: true, Outputs: []string{"tag", "digest", "ref", "reason", "rejected"}, Long: "rejected",
		Arguments: []Argument{
			{Name: ImageOf, Type: cty.DynamicPseudoType, Required: true, Words: "a whole image", Help: "The image whose tags are the candidates."},
			{
				Name: AllowOlder, Type: cty.Bool, Default: cty.False,
				Words: "bool", Help: "Accept an older tag when the chosen tag was withdrawn.",
			},
		},
	},
	{Name: Build, Class: Managed, Outputs: []string{"repository", "tag", "digest", "ref", "key", "platforms"}},
	{Name: Application, Class: Managed, Outputs: []string{"revision", "health", "items"}},
	{
		Name: Notification, Class: Told,
		Arguments: []Argument{{
			Name: On, Type: cty.Set(cty.String),
			Default: cty.SetVal([]cty.Value{cty.StringVal(EventApplied), cty.StringVal(EventFailed)}),
			Words:   "set of string", Help: "The events to report: planned, applied, failed.",
		}},
	},
}

// All returns the table, in the order in which documents name the kinds.
func All() []Kind { return table }

// Names returns the names of all kinds, in the order of the table.
func Names() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}

// Find returns the row of a kind. It returns false if there is no such kind.
func Find(name string) (*Kind, bool) {
	for i := range table {
		if table[i].Name == name {
			return &table[i], true
		}
	}
	return nil, false
}

// IsManaged tells whether the instances of a kind are planned, applied and recorded. It returns false for an unknown kind.
func IsManaged(name string) bool {
	k, ok := Find(name)
	return ok && k.Class == Managed
}
