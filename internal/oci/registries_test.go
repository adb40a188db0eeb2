package oci

import (
	"fmt"
	"github.com/davit-sh/davit/internal/oci/tag"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a registry of one repository, team/app, that lists its tags in the way of a real one. It writes down what it is asked.
type fake struct {
	tags []string
	list func(f *fake, w http.ResponseWriter, r *http.Request)

	mu    sync.Mutex
	asked []string // path and query
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, r.URL.RequestURI())
	f.mu.Unlock()
	f.list(f, w, r)
}

// cut returns a page of at most n tags after the one that is named, and whether there are more.
func (f *fake) cut(r *http.Request, n int) (tags []string, more bool) {
	rest := after(f.tags, r.URL.Query().Get("last"))
	if asked, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil {
		n = min(n, asked)
	}
	return rest[:min(n, len(rest))], n < len(rest)
}

// linked answers a page with a link, which has the form of format: its argument is the last tag of the page.
func linked(n int, format string) func(*fake, http.ResponseWriter, *http.Request) {
	return func(f *fake, w http.ResponseWriter, r *http.Request) {
		tags, more := f.cut(r, n)
		header := ""
		if more {
			header = fmt.Sprintf(format, tags[len(tags)-1])
		}
		page(w, tags, header)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"refused"}]}`, code)
}

// The ways of the registries that people use, as their documents and their users tell them. All tags are listed, whatever the way.
func TestTheTagsOfRegistriesThatPeopleUse(t *testing.T) {
	noCredentials(t)
	tests := map[string]struct {
		tags     int
		list     func(f *fake, w http.ResponseWriter, r *http.Request)
		requests int
	}{
		"distribution and Docker Hub: links": {tags: 2500, requests: 3,
			list: linked(1000, `</v2/team/app/tags/list?last=%s&n=1000>; rel="next"`)},
		"Artifactory: the link leaves the repository key out, and that path answers 404": {tags: 2500, requests: 3,
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/team/app/tags/list" {
					refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
					return
				}
				linked(1000, `</v2/app/tags/list?last=%s&n=1000>; rel="next"`)(f, w, r)
			}},
		"Nexus behind a proxy: the link names the inner host": {tags: 2500, requests: 3,
			list: linked(1000, `<http://nexus.internal:8081/v2/team/app/tags/list?last=%s&n=1000>; rel="next"`)},
		"Harbor: links of pages of 100, and a link back in the same header": {tags: 250, requests: 3,
			list: linked(100, `</v2/team/app/tags/list?last=0>; rel="prev", </v2/team/app/tags/list?last=%s>; rel="next"`)},
		"ECR: exactly one page, and no answer to last": {tags: 1000, requests: 2,
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("last") {
					refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
					return
				}
				page(w, f.tags, "")
			}},
		"GHCR: pages of 100 without a link": {tags: 300, requests: 4,
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				tags, _ := f.cut(r, 100)
				page(w, tags, "")
			}},
		"Quay: n of at most 100": {tags: 250, requests: 4, // the first is refused
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if n, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil && n > 100 {
					refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID")
					return
				}
				linked(100, `</v2/team/app/tags/list?last=%s&n=100>; rel="next"`)(f, w, r)
			}},
		"GitLab: an empty link at the end": {tags: 200, requests: 2,
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if tags, more := f.cut(r, 100); !more {
					page(w, tags, `<>; rel="next"`)
					return
				}
				linked(100, `</v2/team/app/tags/list?last=%s&n=100>; rel="next"`)(f, w, r)
			}},
		"a last page of round size after links is the last": {tags: 2000, requests: 2,
			list: linked(1000, `</v2/team/app/tags/list?last=%s&n=1000>; rel="next"`)},
		"a link into another repository": {tags: 150, requests: 2,
			list: func(f *fake, w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/team/app/tags/list" {
					page(w, []string{"99.0.0"}, "")
					return
				}
				linked(100, `</v2/team/other/tags/list?last=%s&n=100>; rel="next"`)(f, w, r)
			}},
		"few tags": {tags: 7, requests: 1, list: func(f *fake, w http.ResponseWriter, _ *http.Request) { page(w, f.tags, "") }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{tags: numbered(tt.tags), list: tt.list}
			got, err := Tags(t.Context(), serve(t, f))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, f.tags) {
				t.Errorf("%d tags of %d: %.3q", len(got), len(f.tags), got)
			}
			if len(f.asked) != tt.requests {
				t.Errorf("%d requests, want %d: %q", len(f.asked), tt.requests, f.asked)
			}
		})
	}
}

// A registry may send to another host, as registry.k8s.io does for everything. Credentials stay with the host that they are for.
func TestARegistryThatSendsToAnotherHostIsFollowed(t *testing.T) {
	config := noCredentials(t)
	var leaked []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			leaked = append(leaked, h)
		}
		page(w, []string{"3.9", "3.10"}, "")
	}))
	t.Cleanup(store.Close)
	repo := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, _, ok := r.BasicAuth(); {
		case !ok:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/v2/":
			http.Redirect(w, r, "http://localhost:"+portOf(store.URL)+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}
	}))
	writeFile(t, config+"/config.json", fmt.Sprintf(`{"auths":{%q:{"username":"ann","password":"secret"}}}`, repo.RegistryStr()))
	got, err := Tags(t.Context(), repo)
	if err != nil || !slices.Equal(got, []string{"3.10", "3.9"}) {
		t.Errorf("%q, %v", got, err)
	}
	if len(leaked) > 0 {
		t.Errorf("the other host was given %q", leaked)
	}
}

// A registry on another machine cannot make davit ask services of this one.
func TestARegistryCannotSendToThisMachine(t *testing.T) {
	g := roundTripper(mustRepository(t, "registry.example.com/app"))
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/metrics", nil)
	if _, err := g.RoundTrip(r); err == nil || !strings.Contains(err.Error(), "this machine") { //nolint:bodyclose // it has none
		t.Errorf("the error is %v", err)
	}
}

// One tag that cannot be used does not hide the others.
func TestNamesThatAreNotTagsAreListedAsTheyAre(t *testing.T) {
	noCredentials(t)
	odd := []string{"1.1.0+build", "", strings.Repeat("a", 129), "1.0.0", "\x1b[2Jboo", strings.Repeat("b", 5000)}
	got, err := Tags(t.Context(), serve(t, &fake{list: func(_ *fake, w http.ResponseWriter, _ *http.Request) { page(w, odd, "") }}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(odd) || !slices.Contains(got, "1.0.0") || !slices.Contains(got, "1.1.0+build") {
		t.Errorf("the tags are %.40q", got)
	}
	usable := 0
	for _, name := range got {
		if len(name) > longestTag+3 {
			t.Errorf("a name of %d bytes is kept whole", len(name))
		}
		if tag.Valid(name) {
			usable++
		}
	}
	if usable != 1 {
		t.Errorf("%d of them are tags", usable)
	}
}

// Whoever has no login gets in by Bearer, also where Basic is offered first.
func TestBearerIsTakenBeforeBasic(t *testing.T) {
	noCredentials(t)
	for _, together := range []bool{true, false} {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bearer := fmt.Sprintf(`Bearer realm="%s/token",service="x"`, server.URL)
			switch {
			case r.URL.Path == "/token":
				_, _ = w.Write([]byte(`{"token":"anonymous"}`))
			case r.Header.Get("Authorization") == "Bearer anonymous":
				page(w, []string{"1.0.0"}, "")
			case together:
				w.Header().Set("WWW-Authenticate", `Basic realm="x", `+bearer)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				w.Header().Add("WWW-Authenticate", `Basic realm="x"`)
				w.Header().Add("WWW-Authenticate", bearer)
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		t.Cleanup(server.Close)
		got, err := Tags(t.Context(), mustRepository(t, strings.TrimPrefix(server.URL, "http://")+"/team/app"))
		if err != nil || len(got) != 1 {
			t.Errorf("in one header %t: %q, %v", together, got, err)
		}
	}
}

// A refusal says which address was asked, and how long the registry wants to be left alone.
func TestARefusalSaysWhatWasAskedAndHowLongToWait(t *testing.T) {
	noCredentials(t)
	_, err := Tags(t.Context(), serve(t, &fake{list: func(_ *fake, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	}}))
	e := mustBeDiagnosed(t, err)
	if e.Code != "registry.too_many_requests" || !strings.Contains(e.Hint, "1h0m0s") || !strings.Contains(e.Detail, "/v2/team/app/tags/list") {
		t.Errorf("code %q, hint %q, detail %q", e.Code, e.Hint, e.Detail)
	}
}

func portOf(url string) string { return url[strings.LastIndex(url, ":")+1:] }

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
