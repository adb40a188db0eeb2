package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// store keeps manifests and tags as files. In the folder of a repository (a/b/c for "a/b/c"):
//
//	_manifests/<hex>   the media type, a newline, the manifest
//	_tags/<tag>        the digest; capital letters as "+x", for file systems that do not tell them apart
//
// No component of a repository's name starts with "_", so the two never meet.
type store struct {
	dir, blobs string
	mu         sync.RWMutex // held for writing while files change
}

type manifest struct {
	mediaType, digest string
	body              []byte
}

var (
	errNoRepository = &refusal{http.StatusNotFound, "NAME_UNKNOWN", "no such repository"}
	errNoManifest   = &refusal{http.StatusNotFound, "MANIFEST_UNKNOWN", "no such manifest"}
)

func (s *store) path(repository string, more ...string) string {
	return filepath.Join(append([]string{s.dir, filepath.FromSlash(repository)}, more...)...)
}

func (s *store) manifestPath(repository, digest string) string {
	return s.path(repository, "_manifests", strings.TrimPrefix(digest, "sha256:"))
}

func (s *store) tagPath(repository, tag string) string {
	return s.path(repository, "_tags", tagFile(tag))
}

// read finds a manifest by tag or digest.
func (s *store) read(repository, reference string) (*manifest, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.readLocked(repository, reference)
}

func (s *store) readLocked(repository, reference string) (*manifest, error) {
	digest := reference
	if !isDigest(reference) {
		raw, err := os.ReadFile(s.tagPath(repository, reference))
		if err != nil {
			return nil, s.missing(repository, err)
		}
		if digest = string(raw); !isDigest(digest) {
			return nil, fmt.Errorf("the registry's folder is damaged: tag %s of %s has no digest", reference, repository)
		}
	}
	raw, err := os.ReadFile(s.manifestPath(repository, digest))
	if err != nil {
		return nil, s.missing(repository, err)
	}
	mediaType, body, _ := bytes.Cut(raw, []byte("\n"))
	if got := digestOf(body); got != digest {
		return nil, fmt.Errorf("the registry's folder is damaged: the manifest %s of %s has the digest %s", digest, repository, got)
	}
	return &manifest{mediaType: string(mediaType), digest: digest, body: body}, nil
}

// missing tells an unknown repository from an unknown manifest.
func (s *store) missing(repository string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the registry's folder: %w", err)
	}
	if _, err := os.Stat(s.path(repository, "_manifests")); err != nil {
		return errNoRepository
	}
	return errNoManifest
}

// write keeps a manifest whose parts are all here, and points the tag to it.
func (s *store) write(repository, reference, mediaType string, body []byte) (digest string, err error) {
	digest = digestOf(body)
	if isDigest(reference) && reference != digest {
		return "", &refusal{http.StatusBadRequest, "DIGEST_INVALID", "the manifest has the digest " + digest}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if mediaType, err = s.check(repository, mediaType, body); err != nil {
		return "", err
	}
	if err := writeFile(s.manifestPath(repository, digest), append([]byte(mediaType+"\n"), body...)); err != nil {
		return "", err
	}
	if isDigest(reference) {
		return digest, nil
	}
	return digest, writeFile(s.tagPath(repository, reference), []byte(digest))
}

// check tells whether a manifest can be read and all that it names is here. It returns the media type.
func (s *store) check(repository, mediaType string, body []byte) (string, error) {
	var m struct {
		MediaType string          `json:"mediaType"`
		Config    *v1.Descriptor  `json:"config"`
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return "", &refusal{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest is not JSON"}
	}
	if m.MediaType != "" {
		mediaType = m.MediaType
	}
	if mediaType == "" || strings.ContainsAny(mediaType, "\r\n") {
		return "", &refusal{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest has no media type"}
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, d := range append(blobs, m.Manifests...) {
		if d.Digest.Hex == "" {
			return "", &refusal{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest has a part without a digest"}
		}
	}
	for _, b := range blobs {
		if b.MediaType.IsDistributable() && !exists(filepath.Join(s.blobs, b.Digest.Algorithm, b.Digest.Hex)) {
			return "", &refusal{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "the blob " + b.Digest.String() + " does not exist"}
		}
	}
	for _, child := range m.Manifests {
		if !exists(s.manifestPath(repository, child.Digest.String())) {
			return "", &refusal{http.StatusNotFound, "MANIFEST_UNKNOWN", "the manifest " + child.Digest.String() + " does not exist"}
		}
	}
	return mediaType, nil
}

// delete removes a tag, or a manifest and all tags that point to it.
func (s *store) delete(repository, reference string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.readLocked(repository, reference); err != nil {
		return err
	}
	if !isDigest(reference) {
		return remove(s.tagPath(repository, reference))
	}
	tags, err := s.tagsLocked(repository)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if raw, err := os.ReadFile(s.tagPath(repository, tag)); err == nil && string(raw) == reference {
			if err := remove(s.tagPath(repository, tag)); err != nil {
				return err
			}
		}
	}
	return remove(s.manifestPath(repository, reference))
}

// tags lists a repository's tags, sorted.
func (s *store) tags(repository string) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tagsLocked(repository)
}

func (s *store) tagsLocked(repository string) ([]string, error) {
	if !exists(s.path(repository, "_manifests")) {
		return nil, errNoRepository
	}
	tags := []string{}
	files, err := os.ReadDir(s.path(repository, "_tags"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the registry's folder: %w", err)
	}
	for _, f := range files {
		if tag := tagOf(f.Name()); reTag().MatchString(tag) {
			tags = append(tags, tag)
		}
	}
	sort.Strings(tags)
	return tags, nil
}

// repositories lists the repositories, sorted.
func (s *store) repositories() ([]string, error) {
	found := []string{}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "_tags" {
			return fs.SkipDir
		}
		if d.Name() != "_manifests" {
			return nil
		}
		name, err := filepath.Rel(s.dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		found = append(found, filepath.ToSlash(name))
		return fs.SkipDir
	})
	if err != nil {
		return nil, fmt.Errorf("reading the registry's folder: %w", err)
	}
	sort.Strings(found)
	return found, nil
}
