package buildx

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-sh/davit/plugins/internal/build"
	registry "github.com/davit-sh/davit/plugins/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"
)

// job is one build that is carried out.
type job struct {
	Config
	in       *inputs
	repo     name.Repository
	progress *progress
}

// withDaemon builds with a BuildKit daemon and returns the digest of what was pushed.
func (j *job) withDaemon(ctx context.Context) (string, error) {
	address, err := j.address()
	if err != nil {
		return "", err
	}
	c, err := client.New(ctx, address)
	if err != nil {
		return "", &sdk.Error{Summary: "the address of the BuildKit daemon cannot be used", Path: sdk.At("buildkit"), Code: "buildx.address", Err: err}
	}
	defer c.Close()
	if _, err := c.Info(ctx); err != nil {
		return "", &sdk.Error{Summary: "the BuildKit daemon at " + address + " cannot be reached", Path: sdk.At("buildkit"), Code: "buildx.unreachable",
			Hint: "check that it runs and that this user may use it", Err: err}
	}
	opt, err := j.solveOpt()
	if err != nil {
		return "", err
	}
	statuses := make(chan *client.SolveStatus)
	var digest string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		res, err := c.Solve(gctx, nil, *opt, statuses)
		if err != nil {
			return err
		}
		digest = res.ExporterResponse[exptypes.ExporterImageDigestKey]
		return nil
	})
	g.Go(func() error {
		for s := range statuses {
			j.progress.status(s)
		}
		return nil
	})
	return digest, g.Wait()
}

func (j *job) solveOpt() (*client.SolveOpt, error) {
	context, err := contextFS(j.in.tree)
	if err != nil {
		return nil, err
	}
	secrets, err := j.secrets()
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{
		"filename": j.Dockerfile, "platform": strings.Join(j.platforms(), ","), "build-arg:SOURCE_DATE_EPOCH": "0",
	}
	if j.Target != "" {
		attrs["target"] = j.Target
	}
	for name, value := range j.Args {
		attrs["build-arg:"+name] = value
	}
	for name, value := range j.labels() {
		attrs["label:"+name] = value
	}
	pins, err := j.pins()
	if err != nil {
		return nil, err
	}
	for name, to := range pins {
		attrs["context:"+name] = to
	}
	docker := config.LoadDefaultConfigFile(io.Discard)
	return &client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs,
		LocalMounts: map[string]fsutil.FS{"context": context, "dockerfile": context},
		Exports:     []client.ExportEntry{{Type: client.ExporterImage, Attrs: j.export()}},
		Session: append([]session.Attachable{authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
			AuthConfigProvider: authprovider.LoadAuthConfig(docker),
		})}, secrets...),
	}, nil
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
	labels := map[string]string{registry.AnnotationKey: j.in.key}
	maps.Copy(labels, j.Labels)
	return labels
}

// pins makes the build use the base images that the key was computed over, under the names that BuildKit looks for.
func (j *job) pins() (map[string]string, error) {
	pins := map[string]string{}
	for base, digest := range j.in.bases {
		named, err := reference.ParseNormalizedNamed(base)
		if err != nil {
			return nil, build.At(&sdk.Error{Summary: base + " is not the name of an image", Err: err}, "dockerfile")
		}
		if _, pinned := named.(reference.Digested); pinned {
			continue // the Dockerfile says which one it wants
		}
		key := strings.TrimSuffix(reference.FamiliarString(named), ":latest")
		pins[key] = "docker-image://" + reference.TagNameOnly(named).String() + "@" + digest
	}
	return pins, nil
}

func (j *job) secrets() ([]session.Attachable, error) {
	if len(j.Secrets) == 0 {
		return nil, nil
	}
	var sources []secretsprovider.Source
	for id, file := range j.Secrets {
		sources = append(sources, secretsprovider.Source{ID: id, FilePath: file})
	}
	store, err := secretsprovider.NewStore(sources)
	if err != nil {
		return nil, &sdk.Error{Summary: "a secret cannot be read", Path: sdk.At("secrets"), Code: "buildx.secret", Err: err}
	}
	return []session.Attachable{secretsprovider.NewSecretProvider(store)}, nil
}

// contextFS is the build context as Git has it: the cache keeps files read-only.
func contextFS(t *tree.Tree) (fsutil.FS, error) {
	dir, err := fsutil.NewFS(t.Path())
	if err != nil {
		return nil, err
	}
	entries := make(map[string]tree.Entry, len(t.Entries()))
	for _, e := range t.Entries() {
		entries[e.Path] = e
	}
	return fsutil.NewFilterFS(dir, &fsutil.FilterOpt{Map: func(path string, s *fstypes.Stat) fsutil.MapResult {
		s.Uid, s.Gid, s.ModTime = 0, 0, 0
		if e, ok := entries[filepath.ToSlash(path)]; ok {
			s.ModTime = modTime(e).UnixNano()
			if e.Link == "" {
				s.Mode = uint32(fileMode(e.Mode))
			}
		}
		return fsutil.MapResultKeep
	}})
}

// modTime is made of a file's content. BuildKit takes a file of the same size and time for the same
// file and does not look into it; in the image, all times are set to one.
func modTime(e tree.Entry) time.Time {
	sum := sha256.Sum256([]byte(e.Digest))
	const century = 100 * 365 * 24 * int64(time.Hour)
	return time.Unix(0, int64(binary.BigEndian.Uint64(sum[:])>>1)%century) //nolint:gosec // it fits after the shift
}

func fileMode(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
