package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Waiting is a change that an apply leaves out, because it waits at a gate or for something that waits.
type Waiting struct {
	// Change is what would be done if nothing had to be waited for.
	Change Change        `json:"change"`
	Images []ImageChange `json:"image_changes,omitempty"` // of the change
	// Digest names exactly this change: an approval is bound to it.
	Digest string `json:"change_digest"`
	// For says what the change waits for, all of it.
	For []Wait `json:"for"`
	// Partly says that the rest of the change is among the plan's changes, and only its images wait. Whole says why a change whose images
	// alone would have to wait is not applied in parts; "" for others.
	Partly bool   `json:"partly,omitempty"`
	Whole  string `json:"whole,omitempty"`
}

// WaitsForPerson tells whether an approval would let the change go, or would be needed besides other things.
func (w *Waiting) WaitsForPerson() bool {
	return slices.ContainsFunc(w.For, func(x Wait) bool { return x.What == WaitApproval || x.What == WaitDeletions })
}

// WaitKind is what a change waits for.
type WaitKind string

// What a change can wait for.
const (
	WaitApproval  WaitKind = "approval"  // a person, because of the causes
	WaitDeletions WaitKind = "deletions" // a person, because the plan deletes too much
	WaitWindow    WaitKind = "window"    // a time
	WaitSoak      WaitKind = "soak"      // an application that has to be healthy for some time
	WaitInstance  WaitKind = "instance"  // another change, which waits
	// In the loop only:
	WaitBackoff  WaitKind = "back-off" // it has failed, or is undone by others, and is tried again at a time
	WaitStalled  WaitKind = "stalled"  // others keep undoing it: a person's order or another change
	WaitReport   WaitKind = "report"   // a person's order: its block says that drift is only reported
	WaitResume   WaitKind = "resume"   // a person who ends the suspension of the stack
	WaitRejected WaitKind = "rejected" // another change: a person has rejected this one
)

// Wait is one reason to wait.
type Wait struct {
	What   WaitKind `json:"what"`
	Gate   string   `json:"gate,omitempty"`   // name; absent when an instance is waited for
	Causes []Cause  `json:"causes,omitempty"` // approval: those of the change that wait
	// Until is when it ends by itself; zero: not by itself, or not at a time that is known.
	Until time.Time `json:"until,omitzero"`
	// Address is the instance that is waited for, or that has to be healthy.
	Address string `json:"address,omitempty"`
	// Deletions is how many things the plan deletes behind the gate, Limit how many it may.
	Deletions int `json:"deletions,omitempty"`
	Limit     int `json:"limit,omitempty"`
	// Reason says more for people.
	Reason string `json:"reason,omitempty"`
}

// Approval says that a person lets one change go. It is void for any other change of the same instance.
type Approval struct {
	Address string    `json:"address"`
	Digest  string    `json:"change_digest"`
	Who     string    `json:"who"`
	When    time.Time `json:"when"`
	Where   string    `json:"where,omitempty"` // "davit apply", an address of the API
}

// Override says that a person has set a gate's windows, limit and soak aside for one plan.
type Override struct {
	Gate  string    `json:"gate"`
	Who   string    `json:"who"`
	When  time.Time `json:"when"`
	Where string    `json:"where,omitempty"`
}

// Digest names exactly this change: objects, fields, images, deletions, secrets. What has no effect on the world leaves it as it is:
// texts, the state's serial, dependencies, the plugin's own notes, and the arguments of an instance whose plugin tells its items.
func (c *Change) Digest() (string, error) {
	bare := struct {
		Address, Kind, Type   string
		Action                Action
		Items                 []Item            `json:",omitempty"` // a plan that was saved and read has no empty lists
		Arguments             []Field           `json:",omitempty"`
		Fingerprints          map[string]string `json:",omitempty"`
		Images                []ImageUse        `json:",omitempty"`
		Import, MovedFrom     string
		Hold                  uint64
		TwoSteps, CreateFirst bool
		Kept                  []string `json:",omitempty"`
	}{
		Address: c.Address, Kind: c.Kind, Type: c.Type, Action: c.Action, Arguments: c.Changed(), Fingerprints: c.Fingerprints, Images: c.Images,
		Import: c.Import, MovedFrom: c.MovedFrom, TwoSteps: c.TwoSteps, CreateFirst: c.CreateFirst, Kept: c.Kept,
	}
	if c.Hold != nil {
		bare.Hold = c.Hold.Revision
	}
	for _, i := range c.Items {
		if i.Action != None || i.MovedTo != "" {
			i.Note, i.Causes = "", nil
			bare.Items = append(bare.Items, i)
		}
	}
	slices.SortStableFunc(bare.Items, func(a, b Item) int { return strings.Compare(a.Key, b.Key) })
	text, err := json.Marshal(&bare)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// AllCauses returns the causes of a change and of its items, in the order of the list of causes.
func (c *Change) AllCauses() []Cause {
	has := map[Cause]bool{}
	for _, cause := range c.Causes {
		has[cause] = true
	}
	for _, i := range c.Items {
		for _, cause := range i.Causes {
			has[cause] = true
		}
	}
	return slices.DeleteFunc(Causes(), func(cause Cause) bool { return !has[cause] })
}

// Deletions counts the things in the world that a change deletes or makes anew: its items, or the instance where a deletion has none.
func (c *Change) Deletions() int {
	n := 0
	for _, i := range c.Items {
		if (i.Action == Delete || i.Action == Replace) && i.MovedTo == "" {
			n++
		}
	}
	if n == 0 && (c.Action == Delete || c.Action == Replace) && len(c.Items) == 0 {
		n = 1
	}
	return n
}

// Approved returns the approval of a change, nil if there is none.
func (p *Plan) Approved(c *Change) *Approval {
	for i := range p.Approvals {
		if p.Approvals[i].Address != c.Address {
			continue
		}
		if digest, err := c.Digest(); err == nil && digest == p.Approvals[i].Digest {
			return &p.Approvals[i]
		}
	}
	return nil
}
