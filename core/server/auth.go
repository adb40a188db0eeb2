package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/internal/text"
)

// UserHeader names the person behind a call over the server's own Unix socket, for the audit log and the history. It is not believed elsewhere.
const UserHeader = "Davit-User"

type ownerKey struct{}

// isOwnerSocket tells whether a connection came over a Unix socket: only the owner of the server can open it.
func isOwnerSocket(c net.Conn) bool { return c.LocalAddr().Network() == "unix" }

// caller is who has made a call.
type caller struct {
	name   string
	all    bool // may do everything
	verbs  []string
	stacks []string // empty: all
}

// may tells whether a caller may do something with a stack. "" is what is about no single stack.
func (c *caller) may(verb, stack string) bool {
	if c.all {
		return true
	}
	return slices.Contains(c.verbs, verb) && (stack == "" || len(c.stacks) == 0 || slices.Contains(c.stacks, stack))
}

var errUnknownCaller = errors.New("unknown caller")

// authenticate finds out who has made a call.
func (s *Server) authenticate(r *http.Request) (*caller, error) {
	if r.Context().Value(ownerKey{}) != nil {
		name := text.Shorten(text.OneLine(text.Clean(r.Header.Get(UserHeader))), 200)
		if name == "" {
			name = "the owner of the server"
		}
		return &caller{name: name, all: true}, nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" || s.options.Tokens == nil {
		return nil, errUnknownCaller
	}
	return s.options.Tokens.find(token)
}

// roles are names for sets of verbs.
var roles = map[string][]string{
	"viewer":   {Get},
	"planner":  {Get, Plan},
	"operator": {Get, Plan, Sync},
	"approver": {Get, Plan, Sync, Approve},
	"admin":    {Get, Plan, Sync, Approve, Rollback},
}

// Tokens are the callers that a file names. The file is read again when it changes. It may be used concurrently.
type Tokens struct {
	path string

	mu    sync.Mutex
	read  time.Time // modification time of the file that was read
	list  []tokenEntry
	bytes int64
}

// tokenEntry is one caller. The token itself is in no file: only its hash.
type tokenEntry struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"`
	Role   string   `json:"role,omitempty"`
	Verbs  []string `json:"verbs,omitempty"`
	Stacks []string `json:"stacks,omitempty"`

	hash []byte
}

// ReadTokens reads a file of callers: {"tokens": [{"name": "ci", "sha256": "...", "role": "operator", "stacks": ["shop"]}]}.
func ReadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	return t, t.load()
}

// load reads the file if it is another one now. The caller holds mu, or is alone.
func (t *Tokens) load() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(t.read) && info.Size() == t.bytes {
		return nil
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s may be written by others than its owner: chmod go-w %s", t.path, t.path)
	}
	b, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	var file struct {
		Tokens []tokenEntry `json:"tokens"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	names := map[string]bool{}
	for i := range file.Tokens {
		e := &file.Tokens[i]
		if e.hash, err = hex.DecodeString(e.SHA256); err != nil || len(e.hash) != sha256.Size || e.Name == "" || names[e.Name] {
			return fmt.Errorf("%s: entry %d needs a name of its own and the SHA-256 of its token in hexadecimal digits", t.path, i+1)
		}
		names[e.Name] = true
		if e.Role != "" {
			verbs, known := roles[e.Role]
			if !known {
				return fmt.Errorf("%s: %s has the role %q. Roles: admin, approver, operator, planner, viewer", t.path, e.Name, e.Role)
			}
			e.Verbs = append(e.Verbs, verbs...)
		}
		for _, v := range e.Verbs {
			if !slices.Contains(Verbs(), v) {
				return fmt.Errorf("%s: %s has the verb %q. Verbs: %s", t.path, e.Name, v, strings.Join(Verbs(), ", "))
			}
		}
	}
	t.read, t.bytes, t.list = info.ModTime(), info.Size(), file.Tokens
	return nil
}

// find returns the caller with a token. All entries are compared, each in constant time.
func (t *Tokens) find(token string) (*caller, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(); err != nil {
		return nil, err // nobody gets in with a file that cannot be read
	}
	hash := sha256.Sum256([]byte(token))
	var found *tokenEntry
	for i := range t.list {
		if subtle.ConstantTimeCompare(hash[:], t.list[i].hash) == 1 {
			found = &t.list[i]
		}
	}
	if found == nil {
		return nil, errUnknownCaller
	}
	return &caller{name: found.Name, verbs: found.Verbs, stacks: found.Stacks}, nil
}
