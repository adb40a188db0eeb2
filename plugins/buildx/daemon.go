package buildx

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	buildkitsecrets "github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
)

const (
	firstAnswer = 20 * time.Second // how long a daemon may take to answer at all
	lastWords   = time.Second      // how long a build that is interrupted may take to end
)

// withDaemon builds with a BuildKit daemon and returns the digest of what was pushed.
func (j *job) withDaemon(ctx context.Context) (string, error) {
	c, err := j.connect(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	// An interrupted client waits seconds for the daemon's last words: a person does not.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, func() { _ = c.Close() }) })()
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
		if digest = res.ExporterResponse[exptypes.ExporterImageDigestKey]; digest == "" {
			return errors.New("the BuildKit daemon reported no image digest")
		}
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

// connect reaches the daemon, or says that it cannot be reached: what is sent to it later has no time limit of its own.
func (j *job) connect(ctx context.Context) (*client.Client, error) {
	address, err := j.address()
	if err != nil {
		return nil, err
	}
	c, err := client.New(ctx, address, j.trust(address)...)
	if err != nil {
		return nil, &sdk.Error{Summary: "the address of the BuildKit daemon is invalid", Path: sdk.At("buildkit"), Code: "buildx.address", Err: err}
	}
	asking, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	if _, err := c.Info(asking); err != nil {
		_ = c.Close()
		if end, bounded := ctx.Deadline(); bounded && time.Until(end) < 100*time.Millisecond {
			<-ctx.Done() // the daemon knows the deadline as well, and its clock may be a moment ahead
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &sdk.Error{Summary: "the BuildKit daemon at " + address + " cannot be reached", Path: sdk.At("buildkit"), Code: "buildx.unreachable",
			Hint: "check that it runs, that this user may connect to it, and that the tls block has the certificates that it requires", Detail: err.Error()}
	}
	return c, nil
}

// trust is how the daemon is trusted and trusts, as the tls block says.
func (j *job) trust(address string) []client.ClientOpt {
	if j.TLS == nil {
		return nil
	}
	server := j.TLS.ServerName
	if u, err := url.Parse(address); server == "" && err == nil {
		server = u.Hostname()
	}
	opts := []client.ClientOpt{client.WithServerConfigSystem(server)}
	if j.TLS.CA != "" {
		opts = []client.ClientOpt{client.WithServerConfig(server, absolute(j.stack, j.TLS.CA))}
	}
	if j.TLS.Cert != "" {
		opts = append(opts, client.WithCredentials(absolute(j.stack, j.TLS.Cert), absolute(j.stack, j.TLS.Key)))
	}
	return opts
}

func (j *job) solveOpt() (*client.SolveOpt, error) {
	context, err := contextFS(j.in.tree)
	if err != nil {
		return nil, err
	}
	attrs := map[string]string{
		"filename": j.Dockerfile, "platform": strings.Join(j.platforms(), ","), "build-arg:" + epochArg: j.epochOf(),
	}
	if j.Target != "" {
		attrs["target"] = j.Target
	}
	for name, value := range j.buildArgs() {
		attrs["build-arg:"+name] = value
	}
	for name, value := range j.labels() {
		attrs["label:"+name] = value
	}
	opt := &client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs, SourcePolicy: j.pins(),
		LocalMounts: map[string]fsutil.FS{"context": context, "dockerfile": context},
		Exports:     []client.ExportEntry{{Type: client.ExporterImage, Attrs: j.export()}},
		// The daemon keeps the files of each build, to be sent only what changed.
		SharedKey: "davit " + j.repo.Name() + " " + j.Context,
		Session:   []session.Attachable{j.credentials(), j.secretProvider()},
	}
	if j.Cache != nil {
		opt.CacheImports = []client.CacheOptionsEntry{{Type: "registry", Attrs: j.cacheFrom()}}
		opt.CacheExports = []client.CacheOptionsEntry{{Type: "registry", Attrs: j.cacheTo()}}
	}
	return opt, nil
}

// credentials answers the daemon's questions for logins: it has none of its own.
func (j *job) credentials() session.Attachable {
	return authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: j.login(authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(io.Discard))),
	})
}

func (j *job) secretProvider() session.Attachable {
	values := secretStore{}
	for _, s := range j.secrets {
		values[s.id] = s.value
	}
	return secretsprovider.NewSecretProvider(values)
}

// secretStore hands out the secrets that were read.
type secretStore map[string][]byte

// GetSecret implements secrets.SecretStore.
func (s secretStore) GetSecret(_ context.Context, id string) ([]byte, error) {
	v, ok := s[id]
	if !ok {
		return nil, buildkitsecrets.ErrNotFound
	}
	return v, nil
}

// address is where the daemon is.
func (c Config) address() (string, error) {
	if c.BuildKit != "" {
		return c.BuildKit, nil
	}
	if host := os.Getenv("BUILDKIT_HOST"); host != "" {
		return host, nil
	}
	return "", &sdk.Error{Summary: "no builder is configured", Path: sdk.At("buildkit"), Code: "buildx.no_builder",
		Hint: "set buildkit to a BuildKit daemon, or builder to the name of a docker buildx builder, or BUILDKIT_HOST in the environment"}
}
