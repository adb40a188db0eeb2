package buildx

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

// epoch is the time of the images and the latest that a file in them has. It is the same for all builds: with the
// time of a commit, every WORKDIR would miss BuildKit's cache, and layers that did not change would be pushed again.
// It is not 1970, for archives in the images' own work cannot hold times before 1980.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const epochArg = "SOURCE_DATE_EPOCH"

// job is one build that is carried out.
type job struct {
	Config
	in       *inputs
	repo     name.Repository
	secrets  []secret
	logins   sdk.Credentials // of the stack, for registries
	stack    string          // what relative paths are relative to
	cacheDir string
	progress *progress
}

// run builds one way or the other and returns the digest of what was pushed.
func (j *job) run(ctx context.Context) (digest string, err error) {
	ctx, cancel := context.WithTimeout(ctx, j.Timeout.Duration())
	defer cancel()
	if j.Builder != "" {
		digest, err = j.withBuilder(ctx)
	} else {
		digest, err = j.withDaemon(ctx)
	}
	if err != nil {
		return "", j.progress.failure(ctx, err)
	}
	return digest, nil
}

// epochOf is the time that the build is told, unless the configuration says another one.
func (j *job) epochOf() string {
	if given, ok := j.buildArgs()[epochArg]; ok {
		return given
	}
	return strconv.FormatInt(epoch.Unix(), 10)
}

// export says how the result is pushed: by its digest, so that no tag moves before all of it is there.
func (j *job) export() map[string]string {
	attrs := map[string]string{
		"name": j.repo.Name(), "push": "true", "push-by-digest": "true", "oci-mediatypes": "true", "rewrite-timestamp": "true",
	}
	if j.repo.Scheme() == "http" {
		attrs["registry.insecure"] = "true"
	}
	return attrs
}

// labels are those of the images. The content key is one of them: equal keys are equal images.
func (j *job) labels() map[string]string {
	labels := maps.Clone(j.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[registry.AnnotationKey] = j.in.key
	return labels
}

// cacheFrom and cacheTo say where the cache is. A cache that cannot be written must not fail a build.
func (j *job) cacheFrom() map[string]string {
	attrs := map[string]string{"ref": j.Cache.Ref}
	if ref, err := registry.Parse(j.Cache.Ref, j.Insecure); err == nil && ref.Context().Scheme() == "http" {
		attrs["registry.insecure"] = "true"
	}
	return attrs
}

func (j *job) cacheTo() map[string]string {
	attrs := j.cacheFrom()
	attrs["mode"], attrs["ignore-error"] = j.Cache.Mode, "true"
	attrs["oci-mediatypes"], attrs["image-manifest"] = "true", "true" // some registries take nothing else
	return attrs
}

// pins make the build use the base images that the key was computed over, wherever it names them. Named
// contexts would do it too, but also replace a stage of the same name: FROM composer AS composer.
func (j *job) pins() *spb.Policy {
	var rules []*spb.Rule
	for _, base := range slices.Sorted(maps.Keys(j.in.bases)) {
		named, err := reference.ParseNormalizedNamed(base)
		if err != nil {
			continue // it was made of one
		}
		if _, pinned := named.(reference.Digested); pinned {
			continue // the Dockerfile says which one it wants
		}
		image := "docker-image://" + named.String()
		rules = append(rules, &spb.Rule{
			Action:   spb.PolicyAction_CONVERT,
			Selector: &spb.Selector{Identifier: image, MatchType: spb.MatchType_EXACT},
			Updates:  &spb.Update{Identifier: image + "@" + j.in.bases[base]},
		})
	}
	return &spb.Policy{Version: 1, Rules: rules}
}
