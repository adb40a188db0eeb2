package kinds

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// Credentials is one row of the table of credentials blocks: credentials "git" { ... }.
type Credentials struct {
	Name    string   // the label of the block
	Plugins []string // the built-in plugins that are given them
	Secret  string   // the argument with the secret; NAME_file and NAME_env are other ways to give it
	User    bool     // username must be given
	Help    string   // one sentence for the documents
}

var credentials = []Credentials{
	{Name: "git", Plugins: []string{"git"}, Secret: "token", Help: "What a Git host is given over HTTP."},
	{Name: "registry", Plugins: []string{"buildx", "oci", "registry"}, Secret: "password", User: true, Help: "What a registry is given."},
}

// AllCredentials returns the table of credentials blocks.
func AllCredentials() []Credentials { return credentials }

// FindCredentials returns the row of a credentials block. It returns false if there is no such block.
func FindCredentials(name string) (Credentials, bool) {
	i := slices.IndexFunc(credentials, func(c Credentials) bool { return c.Name == name })
	if i < 0 {
		return Credentials{}, false
	}
	return credentials[i], true
}

// The arguments of a credentials block besides the secret itself.
const (
	CredentialsHost = "host"
	CredentialsUser = "username"
	FromFile        = "_file" // after the name of the secret: the file that holds it
	FromEnv         = "_env"  // the variable of davit's environment that holds it
)

// Arguments returns the arguments of the block with their help, in the order of the documents.
func (c Credentials) Arguments() []Argument {
	return []Argument{
		{Name: CredentialsHost, Required: true, Type: cty.String, Words: "string", Help: "The host, with the port if it is not the usual one: git.example.com, registry.example.com:5000."},
		{Name: CredentialsUser, Required: c.User, Type: cty.String, Words: "string", Help: "The user that goes with it."},
		{Name: c.Secret, Type: cty.String, Words: "string, sensitive", Help: "The secret itself. Null: the block is left out."},
		{Name: c.Secret + FromFile, Type: cty.String, Words: "string", Help: "A file that holds the secret, relative to the stack."},
		{Name: c.Secret + FromEnv, Type: cty.String, Words: "string", Help: "The environment variable of davit that holds the secret."},
	}
}
