package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

// Credentials are what the credentials blocks of a stack say, by the name of the plugin that is given them.
type Credentials map[string][]*pluginv1.Credential

// Of returns what a plugin is given.
func (c Credentials) Of(plugin string) sdk.Credentials {
	var list sdk.Credentials
	for _, one := range c[plugin] {
		list = append(list, sdk.Credential{Host: one.GetHost(), Username: one.GetUsername(), Secret: one.GetSecret()})
	}
	return list
}

// Secrets returns the secrets, as sensitive values.
func (c Credentials) Secrets() []cty.Value {
	var list []cty.Value
	for _, of := range c {
		for _, one := range of {
			list = append(list, cty.StringVal(one.GetSecret()).Mark(eval.Sensitive))
		}
	}
	return list
}

// CredentialsOf evaluates the credentials blocks. Files and variables of the environment are read only with read: who only checks a stack
// may have none. What is not known yet is left out.
func (p *Process) CredentialsOf(ctx context.Context, stack *config.Stack, values map[string]cty.Value, read bool) (Credentials, hcl.Diagnostics) {
	if len(stack.Settings.Credentials) == 0 {
		return nil, nil
	}
	r := credentialsReader{process: p, stack: stack, scope: eval.NewScope(stack.Module, values, nil), read: read}
	r.scope.StopOn(ctx.Done())
	out, first := Credentials{}, map[string]hcl.Range{}
	var diags hcl.Diagnostics
	for _, block := range stack.Settings.Credentials {
		c, more := r.block(block)
		diags = append(diags, more...)
		if c == nil {
			continue
		}
		key := block.Kind.Name + " " + c.GetHost()
		if at, twice := first[key]; twice {
			diags = append(diags, diag.Errorf(block.Range, "Two credentials for one host", "credentials %q for %s are already declared at %s. Remove one of them.",
				block.Kind.Name, c.GetHost(), config.Where(at)))
			continue
		}
		first[key] = block.Range
		if c.GetSecret() == "" {
			continue // not known, or not wanted here
		}
		for _, plugin := range block.Kind.Plugins {
			out[plugin] = append(out[plugin], c)
		}
	}
	return out, diags
}

// EarlyCredentials returns what the credentials blocks of a stack say while its modules are not there yet. Variables have the values that
// options give them, or none.
func (p *Process) EarlyCredentials(ctx context.Context, o *Options) (Credentials, error) {
	stack, diags := config.Load(o.Dir)
	if stack == nil || diags.HasErrors() || len(stack.Settings.Credentials) == 0 {
		return nil, nil // what is wrong is told by who reads all of the stack
	}
	given, diags := givenVariables(stack, o, p.Environ)
	if diags.HasErrors() {
		return nil, &Problem{stack, diags}
	}
	values, diags := eval.Variables(stack.Module, append(eval.Unset(stack.Module), given...), ctx.Done())
	if diags.HasErrors() {
		return nil, &Problem{stack, diags}
	}
	credentials, diags := p.CredentialsOf(ctx, stack, values, true)
	if diags.HasErrors() {
		return nil, &Problem{stack, diags}
	}
	return credentials, nil
}

// credentialsReader evaluates credentials blocks.
type credentialsReader struct {
	process *Process
	stack   *config.Stack
	scope   *eval.Scope
	read    bool
}

// block evaluates one block. The credential is nil if its host is not known, and without a secret if that is not known or null.
func (r *credentialsReader) block(c *config.Credentials) (*pluginv1.Credential, hcl.Diagnostics) {
	host, diags := r.text(c, kinds.CredentialsHost)
	user, more := r.text(c, kinds.CredentialsUser)
	diags = append(diags, more...)
	secret, more := r.secret(c)
	diags = append(diags, more...)
	if host == nil || diags.HasErrors() {
		return nil, diags
	}
	out := &pluginv1.Credential{}
	var err error
	if out.Host, err = hostName(*host); err != nil {
		return nil, append(diags, diag.Errorf(c.Range, "Not a host", "The host of credentials %q %s. Write it as git.example.com, or as registry.example.com:5000.", c.Kind.Name, err))
	}
	if user != nil {
		out.Username = *user
	}
	switch {
	case secret == nil:
	case *secret == "":
		return nil, append(diags, diag.Errorf(c.Range, "Empty secret", "The %s for %s is empty. null leaves the block out.", c.Kind.Secret, out.GetHost()))
	case strings.ContainsFunc(*secret, unicode.IsControl):
		return nil, append(diags, diag.Errorf(c.Range, "Secret with a line break", "The %s for %s holds a line break or another control character. trimspace(...) removes those at its ends.", c.Kind.Secret, out.GetHost()))
	default:
		out.Secret = *secret
	}
	return out, diags
}

// text evaluates an argument that is a text. It returns nil if there is none, or it is null, or not known.
func (r *credentialsReader) text(c *config.Credentials, name string) (*string, hcl.Diagnostics) {
	expr := c.Given[name]
	if expr == nil {
		return nil, nil
	}
	v, diags := r.scope.Settled(expr, c.Range)
	if diags.HasErrors() {
		return nil, diags
	}
	v, err := convert.Convert(deep.Unmarked(v), cty.String)
	if err != nil {
		return nil, append(diags, diag.Errorf(c.Range, "Wrong type of value", "The %s of credentials %q must be a string.", name, c.Kind.Name))
	}
	if !v.IsKnown() || v.IsNull() {
		if v.IsKnown() && name == kinds.CredentialsHost {
			diags = append(diags, diag.Errorf(c.Range, "Credentials without a host", "The host of credentials %q is null. Name the host: they are sent to it, and to no other.", c.Kind.Name))
		}
		return nil, diags
	}
	s := v.AsString()
	return &s, diags
}

// secret returns the secret of a block: its own argument, a file's text without the line break at its end, or a variable of the environment.
func (r *credentialsReader) secret(c *config.Credentials) (*string, hcl.Diagnostics) {
	name := c.Kind.Secret
	if c.Given[name] != nil {
		return r.text(c, name)
	}
	name = c.Kind.Secret + kinds.FromFile
	if c.Given[name] == nil {
		name = c.Kind.Secret + kinds.FromEnv
	}
	where, diags := r.text(c, name)
	if where == nil || !r.read {
		return nil, diags
	}
	if name == c.Kind.Secret+kinds.FromEnv {
		value := r.process.getenv(*where)
		if value == "" {
			return nil, append(diags, diag.Errorf(c.Range, "Secret not found", "The environment variable %s, which %s of credentials %q names, is not set.", *where, name, c.Kind.Name))
		}
		return &value, diags
	}
	text, err := os.ReadFile(Absolute(r.stack.Dir, *where))
	if err != nil {
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err
		}
		return nil, append(diags, diag.Errorf(c.Range, "Secret not found", "The file %s, which %s of credentials %q names, cannot be read: %s.", *where, name, c.Kind.Name, err))
	}
	value := strings.TrimRight(string(text), "\r\n")
	return &value, diags
}

// hostName checks a host, with or without a port, and writes it as plugins compare it.
func hostName(host string) (string, error) {
	switch {
	case host == "":
		return "", errors.New("is empty")
	case strings.Contains(host, "@"):
		return "", errors.New("holds a user") // not repeated: it may hold a password
	case strings.Contains(host, "://"):
		scheme, _, _ := strings.Cut(host, "://")
		return "", fmt.Errorf("has %s:// before it", strings.Map(lettersOnly, scheme))
	case strings.ContainsAny(host, "/?#\\* \t\r\n"):
		return "", fmt.Errorf("is %q, which is not the name of one host", host)
	}
	return strings.TrimSuffix(strings.ToLower(host), ":443"), nil
}

func lettersOnly(r rune) rune {
	if r < 'A' || r > 'z' {
		return -1
	}
	return r
}
