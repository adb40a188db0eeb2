package oci

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Created tells when an image was made: what its annotation says, else the configuration of the
// (first) image. Zero when neither says.
func Created(desc *remote.Descriptor) (time.Time, error) {
	annotations, err := annotationsOf(desc)
	if err != nil {
		return time.Time{}, err
	}
	if t, err := time.Parse(time.RFC3339, annotations[AnnotationCreated]); err == nil {
		return t.UTC(), nil
	}
	img, err := firstImage(desc)
	if err != nil || img == nil {
		return time.Time{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the configuration of an image of %s: %w", desc.Digest, err)
	}
	if config.Created.Unix() <= 0 { // the epoch is how reproducible builds say nothing
		return time.Time{}, nil
	}
	return config.Created.UTC(), nil
}

// firstImage is the image itself, or the first of an index that is no attestation. nil when there is none.
func firstImage(desc *remote.Descriptor) (v1.Image, error) {
	if desc.MediaType.IsImage() {
		return desc.Image()
	}
	if !desc.MediaType.IsIndex() {
		return nil, nil
	}
	m, err := indexManifest(desc)
	if err != nil {
		return nil, err
	}
	for _, child := range m.Manifests {
		if !child.MediaType.IsImage() || child.Platform == nil || child.Platform.OS == "unknown" {
			continue
		}
		index, err := desc.ImageIndex()
		if err != nil {
			return nil, err
		}
		return index.Image(child.Digest)
	}
	return nil, nil
}
