package embedded

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// idle is how long an upload may rest before it is dropped.
const idle = time.Hour

// uploads receives blobs. What has arrived of one is the file upload-<id> beside the blobs, and is never held in memory.
type uploads struct {
	blobs string
	mu    sync.Mutex
	busy  map[string]bool // uploads that a request is writing to
}

var reUpload = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (u *uploads) path(id string) string { return filepath.Join(u.blobs, "upload-"+id) }

func (u *uploads) blob(h v1.Hash) string { return filepath.Join(u.blobs, h.Algorithm, h.Hex) }

// serve answers for blobs/uploads/ of a repository; id is what follows.
func (u *uploads) serve(w http.ResponseWriter, r *http.Request, repository, id string) {
	if id == "" {
		if r.Method != http.MethodPost {
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "not supported by this registry")
			return
		}
		u.begin(w, r, repository)
		return
	}
	if !reUpload.MatchString(id) || !exists(u.path(id)) {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload")
		return
	}
	if !u.take(id) {
		refuse(w, http.StatusConflict, "BLOB_UPLOAD_INVALID", "another request is writing to this upload")
		return
	}
	defer u.leave(id)
	switch r.Method {
	case http.MethodGet:
		u.accepted(w, repository, id, http.StatusNoContent)
	case http.MethodPatch:
		if u.receive(w, r, id) {
			u.accepted(w, repository, id, http.StatusAccepted)
		}
	case http.MethodPut:
		if u.receive(w, r, id) {
			u.end(w, r, repository, id)
		}
	case http.MethodDelete:
		if err := remove(u.path(id)); err != nil {
			fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "not supported by this registry")
	}
}

func (u *uploads) take(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.busy[id] {
		return false
	}
	u.busy[id] = true
	return true
}

func (u *uploads) leave(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.busy, id)
}

// begin starts an upload. A blob that is here already need not be sent again; one that is the whole body ends at once.
func (u *uploads) begin(w http.ResponseWriter, r *http.Request, repository string) {
	u.drop(time.Now().Add(-idle))
	q := r.URL.Query()
	if h, err := v1.NewHash(q.Get("mount")); err == nil && exists(u.blob(h)) {
		u.created(w, repository, h)
		return
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it does not fail
	name := hex.EncodeToString(id)
	u.take(name)
	defer u.leave(name)
	f, err := os.OpenFile(u.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		fail(w, fmt.Errorf("writing to the registry's folder: %w", err))
		return
	}
	if !q.Has("digest") {
		u.accepted(w, repository, name, http.StatusAccepted)
		return
	}
	if u.receive(w, r, name) {
		u.end(w, r, repository, name)
	}
	_ = remove(u.path(name)) // what did not arrive whole cannot be gone on with
}

// receive appends the body of a request to an upload. It returns false when it has answered with an error.
func (u *uploads) receive(w http.ResponseWriter, r *http.Request, id string) bool {
	f, err := os.OpenFile(u.path(id), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		fail(w, fmt.Errorf("writing to the registry's folder: %w", err))
		return false
	}
	defer f.Close()
	if first, _, ok := strings.Cut(r.Header.Get("Content-Range"), "-"); ok {
		info, err := f.Stat()
		if n, bad := strconv.ParseInt(first, 10, 64); err != nil || bad != nil || n != info.Size() {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "the part does not begin where the upload ends")
			return false
		}
	}
	if _, err := io.Copy(f, r.Body); err != nil {
		fail(w, fmt.Errorf("receiving a blob: %w", err))
		return false
	}
	return true
}

// end makes a blob of an upload that has the digest that the client names.
func (u *uploads) end(w http.ResponseWriter, r *http.Request, repository, id string) {
	want, err := v1.NewHash(r.URL.Query().Get("digest"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "digest is missing, or is not a digest of SHA-256")
		return
	}
	if err := u.keep(id, want); err != nil {
		_ = remove(u.path(id))
		fail(w, err)
		return
	}
	u.created(w, repository, want)
}

// keep checks the digest of an upload, and renames it durably.
func (u *uploads) keep(id string, want v1.Hash) error {
	f, err := os.Open(u.path(id))
	if err != nil {
		return fmt.Errorf("reading the registry's folder: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("reading the registry's folder: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); want.Algorithm != "sha256" || got != want.Hex {
		return &refusal{http.StatusBadRequest, "DIGEST_INVALID", "the blob has the digest sha256:" + got}
	}
	to := u.blob(want)
	if err := errors.Join(f.Sync(), os.MkdirAll(filepath.Dir(to), 0o700)); err != nil {
		return fmt.Errorf("writing to the registry's folder: %w", err)
	}
	if err := os.Rename(u.path(id), to); err != nil {
		return fmt.Errorf("writing to the registry's folder: %w", err)
	}
	return nil
}

func (u *uploads) created(w http.ResponseWriter, repository string, h v1.Hash) {
	w.Header().Set("Docker-Content-Digest", h.String())
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+h.String())
	w.WriteHeader(http.StatusCreated)
}

// accepted says how much of an upload has arrived.
func (u *uploads) accepted(w http.ResponseWriter, repository, id string, status int) {
	info, err := os.Stat(u.path(id))
	if err != nil {
		fail(w, fmt.Errorf("reading the registry's folder: %w", err))
		return
	}
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, info.Size()-1)))
	w.WriteHeader(status)
}

// drop removes the uploads to which nothing was written since a moment.
func (u *uploads) drop(since time.Time) {
	files, err := filepath.Glob(filepath.Join(u.blobs, "upload-*"))
	if err != nil {
		return
	}
	for _, path := range files {
		id := strings.TrimPrefix(filepath.Base(path), "upload-")
		info, err := os.Stat(path)
		if err != nil || info.ModTime().After(since) || !u.take(id) {
			continue
		}
		_ = os.Remove(path) // what stays is tried again with the next upload
		u.leave(id)
	}
}
