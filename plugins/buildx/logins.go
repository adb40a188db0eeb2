package buildx

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/davit-sh/davit/sdk"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"
)

// dockerHub are the names that docker has for its own registry, and the one that people write.
var dockerHub = map[string]string{"registry-1.docker.io": "docker.io", "index.docker.io": "docker.io"}

// loginFor returns the stack's login for a registry. It returns false if there is none.
func (j *job) loginFor(host string) (sdk.Credential, bool) {
	if c, ok := j.logins.For(host); ok {
		return c, true
	}
	return j.logins.For(dockerHub[host])
}

// login answers the daemon's questions with the logins of the stack, and the others as before.
func (j *job) login(others authprovider.AuthConfigProvider) authprovider.AuthConfigProvider {
	return func(ctx context.Context, host string, scope []string, expired authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		if c, ok := j.loginFor(host); ok {
			return types.AuthConfig{ServerAddress: host, Username: c.Username, Password: c.Secret}, nil
		}
		return others(ctx, host, scope, expired)
	}
}

// dockerLogins are the logins of the stack as docker reads them from its environment. "" is none.
func (j *job) dockerLogins() string {
	if len(j.logins) == 0 {
		return ""
	}
	type login struct {
		Auth string `json:"auth"`
	}
	auths := map[string]login{}
	for _, c := range j.logins {
		host := c.Host
		if host == "docker.io" {
			host = "https://index.docker.io/v1/" // its key in docker's configuration
		}
		auths[host] = login{base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Secret))}
	}
	text, _ := json.Marshal(map[string]any{"auths": auths}) // plain texts
	return string(text)
}
