package hooks

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// Hook is one webhook.
type Hook struct {
	ID   string // in its path: /hooks/ID
	Type string // one of Types

	secret []byte
}

const (
	shortestSecret = 16
	longestSecret  = 4096
)

var reID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Parse reads a declaration: ID=TYPE:env:NAME or ID=TYPE:file:PATH. The secret is in the environment variable or the file, never in the declaration.
func Parse(declaration string, getenv func(string) string) (Hook, error) {
	id, rest, ok := strings.Cut(declaration, "=")
	parts := strings.SplitN(rest, ":", 3)
	if !ok || len(parts) != 3 {
		return Hook{}, fmt.Errorf("a hook is declared as ID=TYPE:env:NAME or ID=TYPE:file:PATH")
	}
	h := Hook{ID: id, Type: parts[0]}
	if !reID.MatchString(id) {
		return h, fmt.Errorf("hook %q: an id has lower-case letters, digits, '.', '_' and '-'", id)
	}
	if _, known := kinds[h.Type]; !known {
		return h, fmt.Errorf("hook %s: the type %q is not known; there are: %s", id, h.Type, strings.Join(Types(), ", "))
	}
	var err error
	switch parts[1] {
	case "env":
		h.secret = []byte(getenv(parts[2]))
		if len(h.secret) == 0 {
			return h, fmt.Errorf("hook %s: the environment variable %s is empty", id, parts[2])
		}
	case "file":
		if h.secret, err = readSecret(parts[2]); err != nil {
			return h, fmt.Errorf("hook %s: its secret cannot be read: %w", id, err)
		}
	default:
		return h, fmt.Errorf("hook %s: a secret is given as env:NAME or file:PATH", id)
	}
	if len(h.secret) < shortestSecret {
		return h, fmt.Errorf("hook %s: its secret has less than %d characters; make one with: openssl rand -hex 32", id, shortestSecret)
	}
	return h, nil
}

// ParseAll reads declarations of hooks that have different ids.
func ParseAll(declarations []string, getenv func(string) string) ([]Hook, error) {
	var list []Hook
	seen := map[string]bool{}
	for _, d := range declarations {
		h, err := Parse(d, getenv)
		if err != nil {
			return nil, err
		}
		if seen[h.ID] {
			return nil, fmt.Errorf("hook %s is declared twice", h.ID)
		}
		seen[h.ID] = true
		list = append(list, h)
	}
	return list, nil
}

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, longestSecret))
	return bytes.TrimSpace(b), err
}
