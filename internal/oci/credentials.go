package oci

import (
	"context"
	"fmt"
	"net/http"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

type credentialsKey struct{}

// WithCredentials returns a context whose calls of registries know these credentials, for who is no plugin. Plugins have those of their stack.
func WithCredentials(ctx context.Context, c sdk.Credentials) context.Context {
	return context.WithValue(ctx, credentialsKey{}, c)
}

// CredentialsFor returns what the stack says for a registry: "registry.example.com", with the port if it is not the usual one. It returns
// false if it says nothing.
func CredentialsFor(ctx context.Context, registry string) (sdk.Credential, bool) {
	list, ok := ctx.Value(credentialsKey{}).(sdk.Credentials)
	if !ok {
		list = sdk.HostOf(ctx).Credentials
	}
	if c, ok := list.For(registry); ok {
		return c, true
	}
	if registry == name.DefaultRegistry {
		return list.For("docker.io") // which is what people call it
	}
	return sdk.Credential{}, false
}

// keychain returns where the credentials of a call come from: the stack's first, then the docker configuration.
func keychain(ctx context.Context) authn.Keychain {
	return authn.NewMultiKeychain(stackKeychain{ctx}, authn.DefaultKeychain)
}

// stackKeychain finds the credentials of the stack.
type stackKeychain struct{ ctx context.Context }

// Resolve implements authn.Keychain.
func (k stackKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	c, ok := CredentialsFor(k.ctx, target.RegistryStr())
	if !ok {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Secret}), nil
}

// sealed lets no credentials go to another machine without encryption, whatever the configuration allows.
type sealed struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s sealed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && r.Header.Get("Authorization") != "" && !isLoopback(r.URL.Host) {
		return nil, fmt.Errorf("%s wants a login, and none is sent there without encryption", r.URL.Host)
	}
	return s.inner.RoundTrip(r)
}
