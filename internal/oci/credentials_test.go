package oci

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
)

// The stack's credentials are for their host, come before docker's, and Docker Hub has the name that people write.
func TestCredentialsOfTheStack(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx := WithCredentials(t.Context(), sdk.Credentials{{Host: "registry.example.com:5000", Username: "ada", Secret: "plugh"}, {Host: "docker.io", Username: "hub", Secret: "xyzzy"}})
	for repository, want := range map[string]string{
		"registry.example.com:5000/a": "ada:plugh", "registry.example.com/a": ":", "REGISTRY.example.com:5000/a": "ada:plugh", "debian": "hub:xyzzy", "quay.io/a/b": ":",
	} {
		repo, err := name.NewRepository(repository)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := keychain(ctx).Resolve(repo)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := auth.Authorization(); err != nil || c.Username+":"+c.Password != want {
			t.Errorf("%s is given %q, %v, want %q", repository, c.Username+":"+c.Password, err, want)
		}
	}
}

// A login never goes to another machine without encryption, not even to one for which plain HTTP is allowed.
func TestNoLoginGoesOverPlainHTTP(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, "", http.StatusUnauthorized)
	}))
	defer server.Close()
	ctx := WithCredentials(t.Context(), sdk.Credentials{{Host: "registry.example.com", Username: "ada", Secret: "plugh"}})
	guarded := sealed{&http.Transport{Proxy: http.ProxyURL(must(t, server.URL))}}
	for _, login := range []string{"", "Basic YWRhOnBsdWdo", "Bearer plugh"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://registry.example.com/v2/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if login != "" {
			r.Header.Set("Authorization", login)
		}
		res, err := guarded.RoundTrip(r)
		if (err != nil) != (login != "") || err != nil && (strings.Contains(err.Error(), "plugh") || !strings.Contains(err.Error(), "without encryption")) {
			t.Errorf("%q: %v", login, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}
	if strings.Join(got, "") != "" || len(got) != 1 {
		t.Errorf("the other machine was sent %q", got)
	}
}

func must(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
