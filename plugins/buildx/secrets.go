package buildx

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

// largest is how large a secret BuildKit takes.
const largest = 500 * 1024

// secret is a value that steps of the build may mount.
type secret struct {
	id        string
	file, env string // where it comes from: one of them
	value     []byte
}

// readSecrets reads them now, so that one that is missing is told before anything is built.
func (c Config) readSecrets(ctx context.Context) ([]secret, error) {
	var all []secret
	for _, id := range slices.Sorted(maps.Keys(c.Secrets)) {
		s := secret{id: id}
		fail := func(what, hint string, err error) error {
			return &sdk.Error{Summary: fmt.Sprintf("the secret %s cannot be read: %s", id, what), Hint: hint, Code: "buildx.secret", Path: sdk.At("secrets").Key(id), Err: err}
		}
		name, isEnv := strings.CutPrefix(c.Secrets[id], "env:")
		if isEnv {
			value, ok := os.LookupEnv(name)
			if !ok {
				return nil, fail("the environment variable "+name+" is not set", "set it, and list it in env of required_plugins: a plugin sees only listed variables", nil)
			}
			s.env, s.value = name, []byte(value)
		} else {
			s.file = absolute(sdk.HostOf(ctx).StackDir, c.Secrets[id])
			var err error
			if s.value, err = os.ReadFile(s.file); err != nil {
				return nil, fail("its file cannot be read", "", err)
			}
		}
		if len(s.value) > largest {
			return nil, fail(fmt.Sprintf("it has more than %d kB", largest/1024), "", nil)
		}
		all = append(all, s)
	}
	return all, nil
}

// absolute is a path that a person wrote relative to the stack.
func absolute(stack, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(stack, filepath.FromSlash(file))
}

// shortestSecret is the length below which a text is too common to be looked for.
const shortestSecret = 6

// mask makes what hides secrets in logs: steps may print them, and BuildKit puts arguments into the names of steps.
func mask(secrets []secret, c Config) *strings.Replacer {
	var texts []string
	for _, s := range secrets {
		texts = append(texts, strings.Split(string(s.value), "\n")...)
	}
	for _, v := range c.SensitiveArgs {
		texts = append(texts, strings.Split(v, "\n")...)
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, t := range texts {
		if t = strings.TrimSpace(t); len(t) >= shortestSecret {
			pairs = append(pairs, t, "(sensitive)")
		}
	}
	return strings.NewReplacer(pairs...)
}
