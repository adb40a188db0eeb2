package oci

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

func TestDiagnosesSayWhatHappenedToWhatAndWhatToDo(t *testing.T) {
	docker := noCredentials(t)
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	status := func(code int) http.Handler {
		return answering(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	tls := httptest.NewTLSServer(realRegistry())
	defer tls.Close()
	tests := map[string]struct {
		repo name.Repository
		code string
		says []string
	}{
		"unauthorized":  {serve(t, status(401)), "registry.unauthorized", []string{"refused access (401)", "docker login 127.0.0.1", "no docker configuration was found"}},
		"forbidden":     {serve(t, status(403)), "registry.unauthorized", []string{"refused access (403)", "docker login"}},
		"not found":     {serve(t, realRegistry()), "registry.not_found", []string{"not found"}},
		"server error":  {serve(t, status(502)), "registry.server_error", []string{"failed with 502", "several times"}},
		"nothing there": {mustRepository(t, closed.Addr().String()+"/team/app"), "registry.connection_refused", []string{"connection refused", "is the registry running"}},
		"own authority": {mustRepository(t, strings.TrimPrefix(tls.URL, "https://")+"/team/app"), "registry.certificate", []string{"not trusted", "SSL_CERT_FILE"}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := Get(t.Context(), tt.repo, "1.0")
			e := mustBeDiagnosed(t, err)
			text := e.Error() + " " + e.Hint
			if e.Code != tt.code {
				t.Errorf("code %q, want %q: %s", e.Code, tt.code, text)
			}
			for _, s := range append(tt.says, tt.repo.Name()+":1.0") {
				if !strings.Contains(text, s) {
					t.Errorf("%q does not say %q", text, s)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(docker, "config.json")); err == nil {
		t.Error("the test wrote a docker configuration")
	}
}

func mustRepository(t *testing.T, repository string) name.Repository {
	t.Helper()
	repo, err := Repository(repository, false)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestAnEndedContextIsNoFaultOfTheRegistry(t *testing.T) {
	noCredentials(t)
	ctx, cancel := context.WithCancel(t.Context())
	repo := serve(t, answering(func(http.ResponseWriter, *http.Request) { cancel() }))
	_, err := Tags(ctx, repo)
	if e := mustBeDiagnosed(t, err); e.Code != "registry.cancelled" {
		t.Errorf("%q: %v", e.Code, err)
	}
}

// login writes a docker configuration for one host.
func login(t *testing.T, dockerConfig, host, user, password string) {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth)
	if err := os.WriteFile(filepath.Join(dockerConfig, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsComeFromTheDockerConfiguration(t *testing.T) {
	docker := noCredentials(t)
	inner := realRegistry()
	repo := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ci" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	login(t, docker, repo.RegistryStr(), "ci", "s3cret")
	pushed(t, repo, Label{Key: keyA, Tag: "1.0.0"}, "linux/amd64")
	tags, err := Tags(t.Context(), repo)
	if err != nil || len(tags) != 2 {
		t.Errorf("%v, %v", tags, err)
	}

	login(t, docker, repo.RegistryStr(), "ci", "wr0ng")
	_, err = Tags(t.Context(), repo)
	e := mustBeDiagnosed(t, err)
	if e.Code != "registry.unauthorized" || !strings.Contains(e.Hint, filepath.Join(docker, "config.json")) {
		t.Errorf("%+v", e)
	}
	if text := e.Error() + e.Hint; strings.Contains(text, "wr0ng") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("ci:wr0ng"))) {
		t.Errorf("the password is shown: %s", text)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":    0,
		"7":   7 * time.Second,
		"-7":  0,
		"xyz": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		"99999999": 24 * time.Hour,
	} {
		r := &http.Response{Header: http.Header{"Retry-After": {header}}}
		if got := retryAfter(r, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}
