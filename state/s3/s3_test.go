package s3_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/s3"
)

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		config s3.Config
		want   []string // nothing: it is fine
	}{
		"enough":               {s3.Config{Bucket: "b", Key: "shop/prod"}, nil},
		"another server":       {s3.Config{Bucket: "b", Key: "k", Endpoint: "https://s3.example.com", PathStyle: true}, nil},
		"nothing":              {s3.Config{}, []string{"bucket is missing", "key is missing"}},
		"only a slash":         {s3.Config{Bucket: "b", Key: "/"}, []string{"key is missing"}},
		"slashes":              {s3.Config{Bucket: "b", Key: "/a/b/"}, []string{`write "a/b"`}},
		"no URL":               {s3.Config{Bucket: "b", Key: "k", Endpoint: "s3.example.com"}, []string{"endpoint is not a URL"}},
		"another protocol":     {s3.Config{Bucket: "b", Key: "k", Endpoint: "ftp://s3.example.com"}, []string{"endpoint is not a URL"}},
		"a password":           {s3.Config{Bucket: "b", Key: "k", Endpoint: "https://user:hunter2@s3.example.com"}, []string{"endpoint contains a password"}},
		"a password in no URL": {s3.Config{Bucket: "b", Key: "k", Endpoint: "https://user:hunter2@s3 .example.com:x"}, []string{"endpoint is not a URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Validate()
			if (err == nil) != (c.want == nil) {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in %v", err)
			}
			if _, open := s3.Open(t.Context(), c.config); err != nil && open == nil {
				t.Error("it was opened")
			}
		})
	}
}

// environment is that of somebody with these credentials and no other.
func environment(t *testing.T, key, secret string) {
	t.Helper()
	nothing := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing,
	} {
		t.Setenv(name, value)
	}
}

func TestNoCredentials(t *testing.T) {
	environment(t, "", "")
	_, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Key: "k", Region: "eu-central-1"})
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: %v", err)
	}
	_, err = s3.Open(t.Context(), s3.Config{Bucket: "b", Key: "k", Region: "eu-central-1", Profile: "nobody"})
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("with a profile that is not there: %v", err)
	}
	environment(t, "key", "secret")
	_, err = s3.Open(t.Context(), s3.Config{Bucket: "b", Key: "k"})
	if err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
}

// careless is a server that takes every write, as servers do that do not know of conditions.
type careless struct {
	mu      sync.Mutex
	objects map[string]string
}

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		b, _ := io.ReadAll(r.Body)
		c.objects[r.URL.Path] = string(b)
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(len(c.objects), len(b))))
	case http.MethodDelete:
		delete(c.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>no</Message></Error>`)
	}
}

// On a server that ignores conditions no state is begun: two processes would overwrite each other.
func TestCarelessServer(t *testing.T) {
	environment(t, "key", "secret")
	c := &careless{objects: map[string]string{}}
	server := httptest.NewServer(c)
	defer server.Close()
	s, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Key: "k", Endpoint: server.URL, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Lock(t.Context(), state.Holder{})
	if err == nil || !strings.Contains(err.Error(), "use another server, or another backend") {
		t.Errorf("the state was locked: %v", err)
	}
	if len(c.objects) > 0 {
		t.Errorf("left behind: %v", c.objects)
	}
}

// The clock of the server counts: a lease that it says has a minute to go is not taken by who thinks otherwise.
func TestServersClock(t *testing.T) {
	environment(t, "key", "secret")
	head := lockedHead(time.Now().Add(-time.Hour + 20*time.Second))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, head)
	}))
	defer server.Close()
	s, err := s3.Open(t.Context(), s3.Config{Bucket: "b", Key: "k", Endpoint: server.URL, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Lock(t.Context(), state.Holder{})
	if err == nil || !strings.Contains(err.Error(), "locked by somebody@there") {
		t.Errorf("a lease that has not expired by the server's clock: %v", err)
	}
}

// lockedHead is the head of a state that is locked until then.
func lockedHead(until time.Time) string {
	head := fmt.Sprintf(`{"serial":0,"token":1,"holder":{"id":"x","who":"somebody@there","pid":1,"what":"test","since":"2026-01-01T00:00:00Z","expires":%q},"write":"w","state":{},"history":{}}`,
		until.UTC().Format(time.RFC3339))
	return fmt.Sprintf(`{"format":%d,"sha256":"%x","head":%s}`, state.Format, sha256.Sum256([]byte(head)), head)
}
