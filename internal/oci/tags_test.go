package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

func numbered(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("1.0.%05d", i)
	}
	return tags
}

// page answers a page of a tag list; link is the Link header, if any.
func page(w http.ResponseWriter, tags []string, link string) {
	if link != "" {
		w.Header().Set("Link", link)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "team/app", "tags": tags})
}

func after(tags []string, last string) []string {
	i, found := slices.BinarySearch(tags, last)
	if found {
		i++
	}
	return tags[i:]
}

func TestTagsAreCompleteHoweverARegistryPages(t *testing.T) {
	noCredentials(t)
	all := numbered(2500)
	registries := map[string]http.HandlerFunc{
		"with links": func(w http.ResponseWriter, r *http.Request) {
			rest := after(all, r.URL.Query().Get("last"))
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			if n >= len(rest) {
				page(w, rest, "")
				return
			}
			page(w, rest[:n], fmt.Sprintf(`</v2/team/app/tags/list?n=%d&last=%s>; rel="next"`, n, rest[n-1]))
		},
		"with links to smaller pages than asked for": func(w http.ResponseWriter, r *http.Request) {
			rest := after(all, r.URL.Query().Get("last"))
			if len(rest) <= 300 {
				page(w, rest, "")
				return
			}
			page(w, rest[:300], fmt.Sprintf(`<list?last=%s>; rel="next"`, rest[299]))
		},
		"cutting at n and forgetting the link": func(w http.ResponseWriter, r *http.Request) {
			rest := after(all, r.URL.Query().Get("last"))
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			page(w, rest[:min(n, len(rest))], "")
		},
		"forgetting the link and starting again after the end": func(w http.ResponseWriter, r *http.Request) {
			rest := after(all, r.URL.Query().Get("last"))
			if len(rest) == 0 {
				rest = all
			}
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			page(w, rest[:min(n, len(rest))], "")
		},
		"ignoring n": func(w http.ResponseWriter, _ *http.Request) { page(w, all, "") },
		"naming a tag twice": func(w http.ResponseWriter, _ *http.Request) {
			page(w, append(slices.Clone(all), all...), "")
		},
	}
	for how, h := range registries {
		t.Run(how, func(t *testing.T) {
			got, err := Tags(t.Context(), serve(t, answering(h)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, all) {
				t.Errorf("%d tags of %d", len(got), len(all))
			}
		})
	}
}

func TestAPartOfTheTagsIsAnErrorAndNeverAShorterList(t *testing.T) {
	noCredentials(t)
	const next = `</v2/team/app/tags/list?last=b>; rel="next"`
	isFirst := func(r *http.Request) bool { return r.URL.Query().Get("last") == "" }
	tests := map[string]struct {
		h    http.HandlerFunc
		code string
		says string
	}{
		"second page answers 500": {func(w http.ResponseWriter, r *http.Request) {
			if isFirst(r) {
				page(w, []string{"a", "b"}, next)
				return
			}
			w.WriteHeader(http.StatusInternalServerError)
		}, "registry.server_error", "failed with 500"},
		"second page is gone": {func(w http.ResponseWriter, r *http.Request) {
			if isFirst(r) {
				page(w, []string{"a", "b"}, next)
				return
			}
			w.WriteHeader(http.StatusBadRequest)
		}, "registry.refused", "answered 400"},
		"half a page of JSON": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"name":"team/app","tags":["a","b`))
		}, "registry.incomplete", "not complete JSON"},
		"connection cut in the page": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"name":"team/app","tags":["a","b"]}`))
		}, "registry.incomplete", "cut off"},
		"link in a circle": {func(w http.ResponseWriter, _ *http.Request) { page(w, []string{"a", "b"}, next) },
			"registry.incomplete", "circle"},
		"second page says not found": {func(w http.ResponseWriter, r *http.Request) {
			if isFirst(r) {
				page(w, []string{"a", "b"}, next)
				return
			}
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[{"code":"NAME_UNKNOWN"}]}`))
		}, "registry.incomplete", "page 2 of the tags does not exist"},
		"link without a query": {func(w http.ResponseWriter, _ *http.Request) {
			page(w, []string{"a"}, `</v2/team/app/tags/list>; rel="next"`)
		},
			"registry.incomplete", "is invalid"},
		"link that is none": {func(w http.ResponseWriter, _ *http.Request) { page(w, []string{"a"}, "next page") },
			"registry.incomplete", "is invalid"},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome</html>")) },
			"registry.incomplete", "not complete JSON"},
		"other JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ok":true}`)) },
			"registry.incomplete", "not a list of tags"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			got, err := Tags(t.Context(), serve(t, answering(tt.h)))
			if err == nil {
				t.Fatalf("no error but the tags %v", got)
			}
			e := mustBeDiagnosed(t, err)
			if e.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("code %q, %q; want %q, %q", e.Code, err, tt.code, tt.says)
			}
			if strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("the registry's control characters reach the terminal: %q", err)
			}
		})
	}
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	noCredentials(t)
	for status, wantRequests := range map[int]int32{
		http.StatusTooManyRequests: 2, http.StatusServiceUnavailable: 2, // and then it works
		http.StatusUnauthorized: 1, http.StatusForbidden: 1, http.StatusNotFound: 1,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			var requests atomic.Int32
			repo := serve(t, answering(func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) > 1 {
					page(w, []string{"1.0.0"}, "")
					return
				}
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(status)
			}))
			tags, err := Tags(t.Context(), repo)
			if got := requests.Load(); got != wantRequests {
				t.Errorf("%d requests, want %d", got, wantRequests)
			}
			if wantRequests == 2 && (err != nil || !slices.Equal(tags, []string{"1.0.0"})) {
				t.Errorf("%v, %v after a retry", tags, err)
			}
			if wantRequests == 1 && err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestARegistryThatAsksToWaitForLongIsNotWaitedFor(t *testing.T) {
	noCredentials(t)
	repo := serve(t, answering(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	_, err := Tags(t.Context(), repo)
	if e := mustBeDiagnosed(t, err); e.Code != "registry.too_many_requests" {
		t.Error(err)
	}
}

func TestARepositoryThatDoesNotExistIsToldFromAHostThatIsNoRegistry(t *testing.T) {
	noCredentials(t)
	_, err := Tags(t.Context(), serve(t, realRegistry()))
	if !IsNotFound(err) {
		t.Errorf("unknown repository: %v", err)
	}
	_, err = Tags(t.Context(), serve(t, http.NotFoundHandler()))
	if IsNotFound(err) || mustBeDiagnosed(t, err).Code != "registry.no_registry" {
		t.Errorf("web server: %v", err)
	}
	_, err = Tags(t.Context(), serve(t, answering(http.NotFound)))
	if IsNotFound(err) {
		t.Errorf("a web server's page for a missing repository: %v", err)
	}
}

func mustBeDiagnosed(t *testing.T, err error) *sdk.Error {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *sdk.Error: %T %v", err, err)
	}
	return e
}
