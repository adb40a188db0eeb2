package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const maxManifest = 4 << 20 // bytes, as the OCI distribution specification asks for at least

// The grammar of the OCI distribution specification: names cannot leave the registry's folder. The long
// repetition takes long to compile: not before it is asked for.
var (
	reRepository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	reTag        = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`) })
)

// handler answers for manifests, tags, the catalog and uploads, and leaves the reading of blobs to inner.
type handler struct {
	store   *store
	uploads *uploads
	inner   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok || rest == "" {
		h.inner.ServeHTTP(w, r)
		return
	}
	if rest == "_catalog" {
		h.catalog(w, r)
		return
	}
	repository, what := split(rest)
	if repository == "" || len(repository) > 255 || !reRepository.MatchString(repository) {
		refuse(w, http.StatusBadRequest, "NAME_INVALID", "not the name of a repository")
		return
	}
	switch {
	case what == "tags/list":
		h.tags(w, r, repository)
	case strings.HasPrefix(what, "manifests/"):
		h.manifest(w, r, repository, strings.TrimPrefix(what, "manifests/"))
	case what == "blobs/uploads" || strings.HasPrefix(what, "blobs/uploads/"):
		h.uploads.serve(w, r, repository, strings.TrimPrefix(strings.TrimPrefix(what, "blobs/uploads"), "/"))
	case strings.HasPrefix(what, "blobs/"):
		h.inner.ServeHTTP(w, r)
	default:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "not supported by this registry")
	}
}

// split takes "team/name/manifests/1.0" apart: "team/name" and "manifests/1.0".
func split(path string) (repository, what string) {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i > 0; i-- {
		switch parts[i] {
		case "manifests", "blobs":
			return strings.Join(parts[:i], "/"), strings.Join(parts[i:], "/")
		case "tags":
			if i == len(parts)-2 && parts[i+1] == "list" {
				return strings.Join(parts[:i], "/"), "tags/list"
			}
		}
	}
	return path, ""
}

func (h *handler) manifest(w http.ResponseWriter, r *http.Request, repository, reference string) {
	if !reTag().MatchString(reference) && !isDigest(reference) {
		refuse(w, http.StatusBadRequest, "TAG_INVALID", "neither a tag nor a digest")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.get(w, r, repository, reference)
	case http.MethodPut:
		h.put(w, r, repository, reference)
	case http.MethodDelete:
		if err := h.store.delete(repository, reference); err != nil {
			fail(w, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "not supported by this registry")
	}
}

func (h *handler) get(w http.ResponseWriter, r *http.Request, repository, reference string) {
	m, err := h.store.read(repository, reference)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	w.Header().Set("Docker-Content-Digest", m.digest)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(m.body)
	}
}

func (h *handler) put(w http.ResponseWriter, r *http.Request, repository, reference string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the manifest is cut off or larger than 4 MiB")
		return
	}
	digest, err := h.store.write(repository, reference, r.Header.Get("Content-Type"), body)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Location", "/v2/"+repository+"/manifests/"+digest)
	w.WriteHeader(http.StatusCreated)
}

func (h *handler) tags(w http.ResponseWriter, r *http.Request, repository string) {
	tags, err := h.store.tags(repository)
	if err != nil {
		fail(w, err)
		return
	}
	page, ok := paged(w, r, tags)
	if !ok {
		return
	}
	answer(w, map[string]any{"name": repository, "tags": page})
}

func (h *handler) catalog(w http.ResponseWriter, r *http.Request) {
	repositories, err := h.store.repositories()
	if err != nil {
		fail(w, err)
		return
	}
	page, ok := paged(w, r, repositories)
	if !ok {
		return
	}
	answer(w, map[string]any{"repositories": page})
}

// paged returns the part of a sorted list that n and last ask for, and links to the next part.
func paged(w http.ResponseWriter, r *http.Request, all []string) ([]string, bool) {
	q := r.URL.Query()
	if last := q.Get("last"); last != "" {
		all = all[sort.Search(len(all), func(i int) bool { return all[i] > last }):]
	}
	if q.Get("n") == "" {
		return all, true
	}
	n, err := strconv.Atoi(q.Get("n"))
	if err != nil || n < 0 {
		refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is not a number")
		return nil, false
	}
	if n >= len(all) {
		return all, true
	}
	all = all[:n]
	if n > 0 {
		next := url.Values{"n": {strconv.Itoa(n)}, "last": {all[n-1]}}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.Path, next.Encode()))
	}
	return all, true
}

func isDigest(s string) bool {
	_, err := v1.NewHash(s)
	return err == nil
}

// refusal is an error that is the client's.
type refusal struct {
	status        int
	code, message string
}

func (e *refusal) Error() string { return e.message }

func fail(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*refusal](err); ok {
		refuse(w, e.status, e.code, e.message)
		return
	}
	refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
