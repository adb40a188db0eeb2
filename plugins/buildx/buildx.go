// Package buildx is the built-in plugin "buildx": it builds images for several platforms from
// a Dockerfile, with a BuildKit daemon that it talks to itself, or with a builder of docker buildx.
package buildx

import (
	"cmp"
	"context"
	"fmt"
	"path"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Plugin returns the plugin.
func Plugin(version string) *sdk.Plugin {
	return sdk.New("buildx", version,
		sdk.Build("buildx", builder{}, sdk.Description(
			"Builds an image for several platforms from a Dockerfile and pushes it. It is built again only when its trigger files, "+
				"Dockerfile, settings or base images change.")))
}

const defaultDockerfile = "Dockerfile"

// Config is the configuration of build "buildx".
type Config struct {
	Source     sdk.SourceRef `davit:"source" doc:"Where the files come from."`
	Context    string        `davit:"context,optional" default:"." doc:"Folder in the source that is the build context. All files that .dockerignore does not exclude are sent."`
	Dockerfile string        `davit:"dockerfile,optional" default:"Dockerfile" doc:"The Dockerfile, relative to the context."`
	Triggers   []string      `davit:"triggers,optional" doc:"Patterns of files, relative to the context. A build starts when a matching file, the Dockerfile or .dockerignore changes. Default: all files of the context that .dockerignore does not exclude. A file that matches no pattern causes no build, even if the Dockerfile copies it."`

	Platforms  []string `davit:"platforms,optional" doc:"Platforms as os/architecture[/variant]. Default: linux/amd64 and linux/arm64."`
	Repository string   `davit:"repository" doc:"Where to push, without a tag."`
	Tag        string   `davit:"tag" doc:"Tag to push under. A new tag alone causes no build: an existing image keeps its tag."`
	Insecure   bool     `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
	Overwrite  bool     `davit:"overwrite,optional" doc:"Move the tag even if it points to another image."`

	Args          map[string]string `davit:"args,optional" doc:"Build arguments. Everybody who can pull the image can read them: use no secrets here."`
	SensitiveArgs map[string]string `davit:"sensitive_args,optional,sensitive" doc:"Build arguments that are neither shown nor stored; a change of one still causes a build. The image may contain them: use secrets for values that only a build step needs."`
	Target        string            `davit:"target,optional" doc:"Stage to build. Default: the last one."`
	Labels        map[string]string `davit:"labels,optional" doc:"Labels of the image."`
	Secrets       map[string]string `davit:"secrets,optional" doc:"Secrets for RUN --mount=type=secret, by id: a file, relative to the stack, or env:NAME for an environment variable that the plugin sees. Only the ids are part of the content key: a new value causes no build."`

	BuildKit string       `davit:"buildkit,optional" doc:"Address of a BuildKit daemon: unix:///run/buildkit/buildkitd.sock, tcp://host:1234. Default: the environment variable BUILDKIT_HOST."`
	TLS      *TLS         `davit:"tls,block" doc:"Certificates for a daemon at tcp://."`
	Builder  string       `davit:"builder,optional" doc:"Name of a docker buildx builder to use instead of a daemon's address."`
	Cache    *Cache       `davit:"cache,block" doc:"Keeps BuildKit's cache in a registry, for builders without a persistent cache."`
	Timeout  sdk.Duration `davit:"timeout,optional" default:"30m" doc:"Time limit of a build."`

	DeleteOnDestroy bool `davit:"delete_on_destroy,optional" doc:"Delete the pushed tag when the build is destroyed. Default: the image stays in the registry, where others may use it."`
}

// TLS is how a daemon is trusted and trusts.
type TLS struct {
	CA         string `davit:"ca,optional" doc:"File with the certificate authority of the daemon, relative to the stack. Default: the system's authorities."`
	Cert       string `davit:"cert,optional" doc:"File with the client certificate, relative to the stack."`
	Key        string `davit:"key,optional" doc:"File with the private key of cert, relative to the stack."`
	ServerName string `davit:"server_name,optional" doc:"Name in the daemon's certificate. Default: the host of its address."`
}

// Cache is where BuildKit's cache is kept.
type Cache struct {
	Ref  string `davit:"ref" doc:"Image reference that holds the cache: registry.example.com/team/app:cache."`
	Mode string `davit:"mode,optional" default:"max" doc:"Which steps are cached: all (max), or only those of the final image (min)."`
}

// Outputs are the outputs of build "buildx".
type Outputs struct {
	sdk.BuildOutputs
}

type (
	planRequest    = sdk.PlanRequest[Config, Outputs]
	planResult     = sdk.PlanResult[Outputs]
	applyRequest   = sdk.ApplyRequest[Config, Outputs]
	destroyRequest = sdk.DestroyRequest[Config, Outputs]
	result         = sdk.Result[Outputs]
)

type builder struct{}

// Plan says whether there is something to build: not if the same inputs were built before, here or on another machine.
func (b builder) Plan(ctx context.Context, r planRequest) (planResult, error) {
	if r.Destroy {
		var was sdk.Record[Config, Outputs]
		if r.Prior != nil {
			was = *r.Prior
		}
		return planned(build.PlanDestroy(was.Outputs.BuildOutputs, was.Private, format, r.Config.DeleteOnDestroy)), nil
	}
	if err := b.Validate(ctx, r.Config); err != nil {
		return planResult{}, err
	}
	r.Config = r.Config.clean()
	var pinned map[string]string
	if reviewed := build.Decode(r.Private, format); reviewed != nil {
		pinned = reviewed.Bases
	}
	in, err := gather(ctx, r.Config, pinned)
	if err != nil {
		return planResult{}, err
	}
	var prior *build.Prior
	if r.Prior != nil {
		prior = &build.Prior{Outputs: r.Prior.Outputs.BuildOutputs, Private: r.Prior.Private}
	}
	res, err := build.Plan(ctx, build.Wish{
		Repository: r.Config.Repository, Tag: r.Config.Tag, Insecure: r.Config.Insecure, Overwrite: r.Config.Overwrite,
		Source: r.Config.Source, Key: in.key, Platforms: r.Config.platforms(), Unmatched: in.unmatched,
		Describe: func(string) string { return "" },
		Inputs:   build.Inputs{Format: format, Files: in.files, Settings: in.settings, Bases: in.bases},
	}, prior)
	return planned(res), err
}

func planned(r build.Result) planResult {
	return planResult{Action: r.Action, Reasons: r.Reasons, Causes: r.Causes, Claims: r.Claims, Items: r.Items, Outputs: Outputs{r.Outputs}, Private: r.Private}
}

// Apply builds and pushes what was planned, or takes over what is pushed already.
func (builder) Apply(ctx context.Context, r applyRequest) (result, error) {
	r.Config = r.Config.clean()
	res, err := build.Apply(ctx, build.Order{
		Action: r.Action, Planned: r.Planned.BuildOutputs, Private: r.Private, Format: format,
		Repository: r.Config.Repository, Insecure: r.Config.Insecure, Overwrite: r.Config.Overwrite,
		Save: func(o sdk.BuildOutputs, private []byte) error {
			return sdk.Save(ctx, result{Outputs: Outputs{o}, Private: private})
		},
		Make: func(ctx context.Context, repo name.Repository, reviewed *build.Record, label registry.Label) (v1.ImageIndex, error) {
			return makeIndex(ctx, r, repo, reviewed, label)
		},
	})
	return result{Outputs: Outputs{res.Outputs}, Private: res.Private}, err
}

// clean writes paths in one form.
func (c Config) clean() Config {
	c.Context, c.Dockerfile = path.Clean(c.Context), path.Clean(cmp.Or(c.Dockerfile, defaultDockerfile))
	return c
}

// makeIndex has BuildKit push the images by their digest, and labels the index of them.
func makeIndex(ctx context.Context, r applyRequest, repo name.Repository, reviewed *build.Record, label registry.Label) (v1.ImageIndex, error) {
	in, err := gather(ctx, r.Config, reviewed.Bases)
	if err != nil {
		return nil, err
	}
	if in.key != r.Planned.Key {
		return nil, &sdk.Error{Summary: "the files or settings have changed since the plan was made", Hint: "plan again", Code: "buildx.stale"}
	}
	secrets, err := r.Config.readSecrets(ctx)
	if err != nil {
		return nil, err
	}
	host := sdk.HostOf(ctx)
	job := &job{Config: r.Config, in: in, repo: repo, secrets: secrets, logins: host.Credentials, stack: host.StackDir, cacheDir: host.CacheDir, progress: newProgress(ctx, secrets, r.Config)}
	digest, err := job.run(ctx)
	if err != nil {
		return nil, err
	}
	desc, err := registry.Get(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	if desc.MediaType.IsIndex() {
		return registry.Relabel(ctx, repo, digest, label)
	}
	// BuildKit makes no index for one platform.
	image, err := desc.Image()
	if err != nil {
		return nil, fmt.Errorf("reading the built image: %w", err)
	}
	platform, err := v1.ParsePlatform(r.Config.platforms()[0])
	if err != nil {
		return nil, fmt.Errorf("reading the platform: %w", err)
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	return registry.Annotate(index, label)
}

// Destroy leaves the images in the registry unless delete_on_destroy is set.
func (builder) Destroy(ctx context.Context, r destroyRequest) error {
	return build.Destroy(ctx, build.Removal{
		Outputs: r.Prior.Outputs.BuildOutputs, Private: r.Prior.Private, Format: format,
		Insecure: r.Config.Insecure, DeleteTags: r.Config.DeleteOnDestroy, Transferred: r.Transferred,
	})
}
