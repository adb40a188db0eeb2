package plan

// Work is what a step does.
type Work string

// The kinds of work.
const (
	Make   Work = "make"   // creates, updates, builds or adopts an instance, or writes its record
	Remove Work = "delete" // deletes an instance, or what an instance was before its replacement
)

// Step is one piece of an apply: one make or one delete. A replacement in two steps has one of each. The steps of a plan are
// sorted so that each comes after all that it waits for; an apply starts a step as soon as those have ended well.
type Step struct {
	ID      string `json:"id"` // unique in the plan: "make ADDRESS", "delete ADDRESS", "delete ADDRESS OPERATION"
	Do      Work   `json:"do"`
	Address string `json:"address"`
	// Old says that a delete is about what the instance was before a replacement that makes the new one first.
	Old bool `json:"old,omitempty"`
	// Operation is the id of the interrupted operation in state whose leftover a delete removes.
	Operation string `json:"operation,omitempty"`
	// WaitsFor are the ids of the steps that must end well before this one starts.
	WaitsFor []string `json:"waits_for,omitempty"`
}
