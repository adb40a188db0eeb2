package objects

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-sh/davit/state"
)

// head is the object that is swapped.
type head struct {
	Lineage string        `json:"lineage,omitempty"`
	Serial  uint64        `json:"serial"`
	Token   uint64        `json:"token"`            // of the latest lease; only ever grows
	Holder  *state.Holder `json:"holder,omitempty"` // nil: nobody has the lease
	Write   string        `json:"write"`            // made anew with each write, so that a write whose answer was lost can be found out
	Commits []string      `json:"commits,omitempty"`
	State   log           `json:"state"`
	History log           `json:"history"`
	Garbage []string      `json:"garbage,omitempty"` // objects that are no longer named here and perhaps not removed yet
}

// keepCommits is the number of commits that the head names. The last one made Serial, the one before it
// Serial-1, and so on.
const keepCommits = 16

// log is a list of segments, oldest first, and a tail of entries that are too few for an object. Later entries replace earlier ones.
type log struct {
	Segments []segment `json:"segments,omitempty"`
	Tail     []byte    `json:"-"` // packed
}

// segment is a packed list of entries, cut into objects.
type segment struct {
	Entries int    `json:"entries"`
	Parts   []part `json:"parts"`
}

type part struct {
	Name string `json:"name"`
	Size int    `json:"size"`
	Sum  string `json:"sha256"`
}

func (s segment) size() (n int) {
	for _, p := range s.Parts {
		n += p.Size
	}
	return n
}

func (s segment) names() (names []string) {
	for _, p := range s.Parts {
		names = append(names, p.Name)
	}
	return names
}

func (l log) names() (names []string) {
	for _, s := range l.Segments {
		names = append(names, s.names()...)
	}
	return names
}

// clone returns a deep copy of the head.
func (h *head) clone() *head {
	c := *h
	if h.Holder != nil {
		holder := *h.Holder
		c.Holder = &holder
	}
	c.Commits, c.Garbage = slices.Clone(h.Commits), slices.Clone(h.Garbage)
	c.State.Segments, c.History.Segments = slices.Clone(h.State.Segments), slices.Clone(h.History.Segments)
	return &c
}

// committed returns whether the named commit made this serial. known is false if the serial is older than
// the commits that the head names.
func (h *head) committed(serial uint64, id string) (yes, known bool) {
	if h.Serial < serial {
		return false, true
	}
	if back := h.Serial - serial; back < uint64(len(h.Commits)) {
		return h.Commits[uint64(len(h.Commits))-1-back] == id, true
	}
	return false, false
}

// stored is the written form of the head. The format is decoded first. The tails have checksums of their own, so that
// damage in them can be named.
type stored struct {
	Format  int             `json:"format"`
	Sum     string          `json:"sha256"`
	Head    json.RawMessage `json:"head"`
	State   []byte          `json:"state,omitempty"`
	History []byte          `json:"history,omitempty"`
}

func encodeHead(h *head) ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(stored{Format: state.Format, Sum: sum(b), Head: b, State: h.State.Tail, History: h.History.Tail})
}

var errHead = errors.New("the object " + Head + " is not a davit state, or is damaged: restore it from a backup or an earlier version of the object")

func decodeHead(b []byte, where string) (*head, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil || s.Format < 1 {
		return nil, errHead
	}
	if s.Format > state.Format {
		return nil, &state.FormatError{Where: where, Got: s.Format, Know: state.Format}
	}
	var h head
	if sum(s.Head) != s.Sum || json.Unmarshal(s.Head, &h) != nil {
		return nil, errHead
	}
	h.State.Tail, h.History.Tail = s.State, s.History
	return &h, nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// newID returns a random name of lower-case letters and digits.
func newID() string { return strings.ToLower(rand.Text()) }

// newPart returns the name of a new object of a lease. It contains the token of the lease.
func newPart(token uint64) string { return fmt.Sprintf("seg-%d-%s", token, newID()) }

// writtenBy returns the token in the name of an object.
func writtenBy(name string) (token uint64, ok bool) {
	n, err := fmt.Sscanf(name, "seg-%d-", &token)
	return token, err == nil && n == 1
}
