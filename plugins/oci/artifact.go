package oci

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// ArtifactConfig is the configuration of source "oci".
type ArtifactConfig struct {
	Repository string       `davit:"repository" doc:"Where the artifact is, without a tag."`
	Tag        string       `davit:"tag,optional" doc:"Use this tag. Without tag, semver and digest: latest."`
	Semver     string       `davit:"semver,optional" doc:"Use the highest tag in this range, such as \"~1.4\"."`
	Digest     string       `davit:"digest,optional" doc:"Use the artifact of this digest, \"sha256:...\"."`
	MediaType  string       `davit:"media_type,optional" doc:"Media type of the layer with the files. Default: the only layer that is a tar archive."`
	Path       string       `davit:"path,optional" doc:"Only this folder."`
	Insecure   bool         `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
	Timeout    sdk.Duration `davit:"timeout,optional" default:"2m" doc:"Time limit for finding and fetching the revision."`
}

// ArtifactOutputs are the outputs of source "oci".
type ArtifactOutputs struct {
	sdk.SourceOutputs
	Repository  string            `davit:"repository" doc:"The repository, without a tag."`
	Tag         string            `davit:"tag" doc:"The tag that was used; empty for a digest."`
	Digest      string            `davit:"digest" doc:"Digest of the artifact."`
	Ref         string            `davit:"ref" doc:"The artifact by its digest: repository@digest."`
	Annotations map[string]string `davit:"annotations" doc:"Annotations of the artifact."`
}

type artifact struct {
	hub poll.Hub[sight]
}

// Validate implements sdk.Validator.
func (*artifact) Validate(_ context.Context, c ArtifactConfig) error {
	var f findings
	_, err := registry.Repository(c.Repository, c.Insecure)
	f.add(err, sdk.At("repository"))
	set := 0
	for _, v := range []string{c.Tag, c.Semver, c.Digest} {
		if v != "" {
			set++
		}
	}
	if set > 1 {
		f.add(errors.New("tag, semver and digest cannot be combined: set one of them"), sdk.At("tag"))
	}
	if c.Tag != "" {
		f.add(registry.CheckTag(c.Tag), sdk.At("tag"))
	}
	if c.Semver != "" {
		if _, err := semver.NewConstraint(c.Semver); err != nil {
			f.add(fmt.Errorf("%q is not a version range: %w", c.Semver, err), sdk.At("semver"))
		}
	}
	if c.Digest != "" {
		if _, err := v1.NewHash(c.Digest); err != nil {
			f.add(fmt.Errorf("%q is not a digest: use the form sha256:4b825d..., with 64 hexadecimal digits", c.Digest), sdk.At("digest"))
		}
	}
	return f.err()
}

// Observe reads the artifact that the configuration names.
func (a *artifact) Observe(ctx context.Context, r sdk.ObserveRequest[ArtifactConfig, ArtifactOutputs]) (ArtifactOutputs, error) {
	c := r.Config
	var out ArtifactOutputs
	if err := a.Validate(ctx, c); err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Duration())
	defer cancel()
	repo, err := registry.Repository(c.Repository, c.Insecure)
	if err != nil {
		return out, build.At(err, sdk.At("repository"))
	}
	at, err := follow(ctx, repo, r)
	if err != nil {
		return out, err
	}
	out.Repository, out.Tag = c.Repository, at.tag
	desc, err := registry.Get(ctx, repo, at.what())
	if err != nil {
		return out, err
	}
	err = read(ctx, desc, c, &out)
	if err == nil && r.Pinned == nil {
		a.hub.Note(poll.ID(ctx, r.Address), position{at.tag, out.Digest}.describe())
	}
	return out, err
}

// position is what a configuration means in a registry at this moment.
type position struct{ tag, digest string }

func (p position) what() string {
	if p.digest != "" {
		return p.digest
	}
	return p.tag
}

func follow(ctx context.Context, repo name.Repository, r sdk.ObserveRequest[ArtifactConfig, ArtifactOutputs]) (position, error) {
	c := r.Config
	if r.Pinned != nil {
		return position{r.Pinned.Tag, r.Pinned.Digest}, nil
	}
	switch {
	case c.Digest != "":
		return position{digest: c.Digest}, nil
	case c.Tag != "":
		return position{tag: c.Tag}, nil
	case c.Semver == "":
		return position{tag: "latest"}, nil
	}
	tags, err := registry.Tags(ctx, repo)
	if err != nil {
		return position{}, err
	}
	tag, err := highest(c.Semver, tags)
	if err != nil {
		return position{}, &sdk.Error{Summary: fmt.Sprintf("%s: %s", repo.Name(), err), Path: sdk.At("semver"), Code: "oci.no_tag"}
	}
	return position{tag: tag}, nil
}

// highest is the tag with the highest version in a range; of equal ones the first by name.
func highest(want string, tags []string) (string, error) {
	constraint, err := semver.NewConstraint(want)
	if err != nil {
		return "", err
	}
	var best *semver.Version
	for _, tag := range slices.Sorted(slices.Values(tags)) {
		v, err := semver.NewVersion(tag)
		if err == nil && constraint.Check(v) && (best == nil || v.GreaterThan(best)) {
			best = v
		}
	}
	if best == nil {
		return "", fmt.Errorf("none of its %d tags is in the range %s", len(tags), want)
	}
	return best.Original(), nil
}

// read gets the files of an artifact, from the cache if they are there.
func read(ctx context.Context, desc *remote.Descriptor, c ArtifactConfig, out *ArtifactOutputs) error {
	out.Digest = desc.Digest.String()
	out.Ref, out.Revision = out.Repository+"@"+out.Digest, out.Digest
	if !desc.MediaType.IsImage() {
		return &sdk.Error{Summary: fmt.Sprintf("%s is not an artifact with files: it is %s", out.Ref, desc.MediaType), Code: "oci.no_files"}
	}
	img, err := desc.Image()
	if err != nil {
		return registry.Diagnose(err, "reading", out.Ref)
	}
	m, err := img.Manifest()
	if err != nil {
		return registry.Diagnose(err, "reading", out.Ref)
	}
	out.Annotations = maps.Clone(m.Annotations)
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Time = created(desc, out.Annotations).UTC().Format(time.RFC3339)
	layer, err := layerOf(m, c, out.Ref)
	if err != nil {
		return err
	}
	out.Tree, err = files(ctx, img, layer, c.Path, out.Ref)
	return err
}

// created is when an artifact says that it was made; the epoch if it does not.
func created(desc *remote.Descriptor, annotations map[string]string) time.Time {
	if t, err := time.Parse(time.RFC3339, annotations[registry.AnnotationCreated]); err == nil {
		return t
	}
	if t, err := registry.Created(desc); err == nil && !t.IsZero() {
		return t
	}
	return time.Unix(0, 0)
}

// layerOf picks the layer that has the files.
func layerOf(m *v1.Manifest, c ArtifactConfig, ref string) (v1.Descriptor, error) {
	var found []v1.Descriptor
	var types []string
	for _, l := range m.Layers {
		types = append(types, string(l.MediaType))
		if c.MediaType == string(l.MediaType) || c.MediaType == "" && isTar(string(l.MediaType)) {
			found = append(found, l)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	hint := "Set media_type to one of: " + strings.Join(types, ", ") + "."
	if len(types) == 0 {
		hint = "It has no layers."
	}
	return v1.Descriptor{}, &sdk.Error{Summary: fmt.Sprintf("%s has %d layers that may contain the files", ref, len(found)), Path: sdk.At("media_type"), Code: "oci.no_files", Hint: hint}
}

// isTar tells whether a media type is one of a tar archive, compressed or not.
func isTar(mediaType string) bool {
	for _, end := range []string{"tar", "tar+gzip", "tar.gzip", "tar+zstd"} {
		if strings.HasSuffix(mediaType, end) {
			return true
		}
	}
	return false
}

// files unpacks a layer into the cache, or finds it there.
func files(ctx context.Context, img v1.Image, d v1.Descriptor, path, ref string) (sdk.Tree, error) {
	cache := sdk.HostOf(ctx).CacheDir
	note := "oci/trees/" + d.Digest.Hex + "-" + d.Digest.Algorithm
	whole, ok := tree.Known(cache, note)
	if !ok {
		layer, err := img.LayerByDigest(d.Digest)
		if err != nil {
			return sdk.Tree{}, registry.Diagnose(err, "reading", ref)
		}
		if whole, err = unpack(ctx, layer, cache); err != nil {
			return sdk.Tree{}, unpackError(err, ref)
		}
		if err := tree.Remember(cache, note, whole); err != nil {
			return sdk.Tree{}, err
		}
	}
	if strings.Trim(path, "/.") == "" {
		return whole, nil
	}
	return part(ctx, whole, path, cache)
}

// part is a folder of a tree, as a tree of its own.
func part(ctx context.Context, whole sdk.Tree, path, cache string) (sdk.Tree, error) {
	t, err := tree.Open(whole)
	if err != nil {
		return sdk.Tree{}, err
	}
	sub, err := t.Sub(path)
	if err != nil {
		return sdk.Tree{}, &sdk.Error{Summary: err.Error(), Path: sdk.At("path"), Code: "oci.no_path"}
	}
	return tree.Write(ctx, cache, sub.Entries(), sub.Open)
}
