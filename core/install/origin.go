package install

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

// Origin is where plugins come from. It is not trusted: whatever it hands out is compared with digests.
type Origin interface {
	// Tags lists all tags of a repository, or fails.
	Tags(ctx context.Context, repo name.Repository) ([]string, error)
	// Open finds what a tag or a digest names. What is not there is an error for which errors.Is(err, ErrNotFound) holds.
	Open(ctx context.Context, repo name.Repository, reference string) (Copy, error)
}

// Copy is a release as an origin has it.
type Copy interface {
	// Index is the index as the bytes that its digest is of.
	Index() []byte
	// Manifest returns the manifest of a platform, with this digest if all is well.
	Manifest(ctx context.Context, platform, digest string) ([]byte, error)
	// Executable opens the executable of a platform, with this digest if all is well.
	Executable(ctx context.Context, platform, digest string) (io.ReadCloser, error)
	// Signatures returns the signatures of the index, none if there are none.
	Signatures(ctx context.Context) ([]Signature, error)
}

// ErrNotFound tells that an origin does not have what it was asked for.
var ErrNotFound = errors.New("not found")

// Registries is the Origin that plugins are published in.
type Registries struct{}

// Tags implements Origin.
func (Registries) Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	tags, err := oci.Tags(ctx, repo)
	return tags, registryError(err)
}

// Open implements Origin.
func (Registries) Open(ctx context.Context, repo name.Repository, reference string) (Copy, error) {
	desc, err := oci.Get(ctx, repo, reference)
	if err != nil {
		return nil, registryError(err)
	}
	return &pushed{repo: repo, index: desc.Manifest}, nil
}

// pushed is a release in a registry.
type pushed struct {
	repo  name.Repository
	index []byte
}

func (p *pushed) Index() []byte { return p.index }

func (p *pushed) Manifest(ctx context.Context, _, digest string) ([]byte, error) {
	desc, err := oci.Get(ctx, p.repo, digest)
	if err != nil {
		return nil, registryError(err)
	}
	return desc.Manifest, nil
}

func (p *pushed) Executable(ctx context.Context, _, digest string) (io.ReadCloser, error) {
	layer, err := remote.Layer(p.repo.Digest(digest), oci.Options(ctx, p.repo)...)
	if err == nil {
		var body io.ReadCloser
		if body, err = layer.Compressed(); err == nil {
			return body, nil
		}
	}
	return nil, registryError(oci.Diagnose(err, "fetching", p.repo.Name()+"@"+digest))
}

const (
	signatureType       = "application/vnd.dev.cosign.simplesigning.v1+json"
	annotationSignature = "dev.cosignproject.cosign/signature"
	maxSignatures       = 100
	maxPayload          = 1 << 20 // bytes
)

// Signatures reads what cosign has put under the tag that is made of the digest.
func (p *pushed) Signatures(ctx context.Context) ([]Signature, error) {
	tag := strings.Replace(digestOf(p.index), ":", "-", 1) + ".sig"
	desc, err := oci.Get(ctx, p.repo, tag)
	if oci.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, registryError(err)
	}
	img, err := desc.Image()
	if err != nil {
		return nil, refuse("", "%s:%s does not contain signatures: %s", p.repo, tag, err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, refuse("", "%s:%s does not contain signatures: %s", p.repo, tag, err)
	}
	var out []Signature
	for _, d := range m.Layers {
		if d.MediaType != signatureType || len(out) == maxSignatures {
			continue
		}
		s, err := p.signature(img, d)
		if err != nil {
			return nil, registryError(oci.Diagnose(err, "reading the signatures of", p.repo.Name()))
		}
		out = append(out, s)
	}
	return out, nil
}

func (p *pushed) signature(img v1.Image, d v1.Descriptor) (Signature, error) {
	var s Signature
	var err error
	// One that cannot be read verifies nothing.
	s.Signature, _ = base64.StdEncoding.DecodeString(d.Annotations[annotationSignature])
	layer, err := img.LayerByDigest(d.Digest)
	if err != nil {
		return s, err
	}
	body, err := layer.Compressed()
	if err != nil {
		return s, err
	}
	defer func() { _ = body.Close() }()
	s.Payload, err = io.ReadAll(io.LimitReader(body, maxPayload+1))
	if len(s.Payload) > maxPayload {
		return s, fmt.Errorf("a signature is larger than %d bytes", maxPayload)
	}
	return s, err
}

// registryError keeps what a person can do about an error of a registry.
func registryError(err error) error {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		return err
	}
	r := &refusal{problem: e.Error(), hint: e.Hint, err: err}
	switch {
	case e.Code == "registry.plain_http":
		r.hint = "Plugins are fetched over HTTPS; over HTTP only from this machine."
	case oci.IsNotFound(err):
		r.err = errors.Join(ErrNotFound, err)
	}
	return r
}
