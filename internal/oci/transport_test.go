package oci

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNothingIsSentInTheClearToAnotherMachineUnlessAsked(t *testing.T) {
	insecure := func(s string) name.Repository {
		r, err := Repository(s, true)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	tests := map[string]struct {
		repo name.Repository
		url  string
		sent string // the scheme it is sent with; empty when it is refused
	}{
		"a private address is no reason":        {mustRepository(t, "10.1.2.3:5000/app"), "http://10.1.2.3:5000/v2/", "https"},
		"nor are 192.168.0.0/16":                {mustRepository(t, "192.168.1.2:5000/app"), "http://192.168.1.2:5000/v2/", "https"},
		"asked for":                             {insecure("10.1.2.3:5000/app"), "http://10.1.2.3:5000/v2/", "http"},
		"this machine":                          {mustRepository(t, "127.0.0.1:5000/app"), "http://127.0.0.1:5000/v2/", "http"},
		"encrypted":                             {mustRepository(t, "registry.example.com/app"), "https://registry.example.com/v2/", "https"},
		"redirect to an unencrypted store":      {mustRepository(t, "registry.example.com/app"), "http://blobs.example.com/x", ""},
		"this machine's registry sends further": {insecure("127.0.0.1:5000/app"), "http://tokens.example.com/x", ""},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			sent := ""
			g := roundTripper(tt.repo).(*guard)
			g.inner = roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent = r.URL.Scheme
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
			})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.RoundTrip(r) //nolint:bodyclose // it has none
			if sent != tt.sent || (err == nil) != (tt.sent != "") {
				t.Errorf("sent with %q, want %q (%v)", sent, tt.sent, err)
			}
		})
	}
}

func TestARequestIsRepeatedWithItsWholeBody(t *testing.T) {
	var bodies []string
	rt := &retry{first: time.Millisecond, inner: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		if len(bodies) == 1 {
			return nil, syscall.ECONNRESET
		}
		return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody}, nil
	})}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1/v2/a/manifests/b", strings.NewReader("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.RoundTrip(r); err != nil { //nolint:bodyclose // it has none
		t.Fatal(err)
	}
	if len(bodies) != 2 || bodies[1] != "manifest" {
		t.Errorf("sent %q", bodies)
	}
}

func TestABodyThatCannotBeSentTwiceIsNot(t *testing.T) {
	requests := 0
	rt := &retry{first: time.Millisecond, inner: roundTripFunc(func(*http.Request) (*http.Response, error) {
		requests++
		return nil, syscall.ECONNRESET
	})}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://127.0.0.1/", io.NopCloser(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = rt.RoundTrip(r) //nolint:bodyclose // it has none
	if requests != 1 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d requests, %v", requests, err)
	}
	if !restartUpload(err) {
		t.Error("the upload is not begun again either")
	}
}

func TestAPushGoesThroughARegistryThatFailsNowAndThen(t *testing.T) {
	noCredentials(t)
	inner := realRegistry()
	var mu sync.Mutex
	n, failed := 0, map[string]bool{}
	repo := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		what := r.Method + " " + r.URL.Path
		fails := n%3 == 0 && !failed[what] // never twice in a row, in whatever order requests come
		failed[what] = fails
		mu.Unlock()
		if fails {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	digest := pushed(t, repo, Label{Key: keyA, Tag: "1.0.0"}, "linux/amd64", "linux/arm64")
	if found, err := Find(t.Context(), repo, keyA); err != nil || found == nil || found.Digest != digest {
		t.Errorf("%+v, %v", found, err)
	}
}
