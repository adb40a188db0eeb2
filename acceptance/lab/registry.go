package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

// Registry is a running distribution registry. It speaks plain HTTP, allows
// deletion and pages its lists.
type Registry struct {
	Host     string // like 127.0.0.1:23456
	User     string // empty when no password is asked for
	Password string
	Log      string // path of the log, with a line for each request
}

// Image returns the full name of an image or repository in the registry.
func (r *Registry) Image(name string) string { return r.Host + "/" + name }

const registryConfig = `version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http:
  addr: %q
  secret: %q
`

func (l *Lab) startRegistry(ctx context.Context, made *artifacts) (err error) {
	l.Registry, err = l.newRegistry(ctx, made, "registry", "", "")
	return err
}

func (l *Lab) startAuthRegistry(ctx context.Context, made *artifacts) (err error) {
	l.AuthRegistry, err = l.newRegistry(ctx, made, "auth-registry", "lab", rand.Text())
	return err
}

func (l *Lab) newRegistry(ctx context.Context, made *artifacts, name, user, password string) (*Registry, error) {
	dir, err := l.folder(name)
	if err != nil {
		return nil, err
	}
	ports, err := host.FreePorts(1)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		Host: fmt.Sprintf("127.0.0.1:%d", ports[0]),
		User: user, Password: password,
		Log: filepath.Join(dir, "registry.log"),
	}
	config := fmt.Sprintf(registryConfig, filepath.Join(dir, "data"), r.Host, rand.Text())
	ready := http.StatusOK
	if user != "" {
		ready = http.StatusUnauthorized
		// The least cost: the registry checks the password with each request.
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
			return nil, err
		}
		config += fmt.Sprintf("auth:\n  htpasswd: {realm: lab, path: %q}\n", file)
	}
	configFile := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p, err := process.Start(process.Command{
		Name: name,
		Args: []string{made.binaries[server.Registry], "serve", configFile},
		Env:  []string{"OTEL_TRACES_EXPORTER=none"},
		Dir:  dir,
		Log:  r.Log,
	})
	if err != nil {
		return nil, err
	}
	l.onStop(func() error { return p.Stop(0) })
	return r, p.WaitReady(ctx, 30*time.Second, func(ctx context.Context) error {
		return answers(ctx, "http://"+r.Host+"/v2/", ready)
	})
}

// answers is nil when a GET of url has the status.
func answers(ctx context.Context, url string, status int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}

// writeDockerConfig makes the DOCKER_CONFIG folder, with the credentials of
// AuthRegistry when there is one.
func (l *Lab) writeDockerConfig() error {
	if err := os.Mkdir(l.DockerConfig, 0o700); err != nil {
		return err
	}
	auths := map[string]any{}
	if r := l.AuthRegistry; r != nil {
		auth := base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))
		auths[r.Host] = map[string]string{"auth": auth}
	}
	text, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.DockerConfig, "config.json"), text, 0o600)
}
