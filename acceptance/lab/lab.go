// Package lab runs the real servers that davit's acceptance tests work
// against, on one machine and for one test process: a container registry,
// Gitea, BuildKit with buildx, an S3 server, and Kubernetes with a node that
// runs pods.
//
// A test package starts what it needs in TestMain:
//
//	var l *lab.Lab
//
//	func TestMain(m *testing.M) {
//		os.Exit(lab.Run(m, &l, lab.Options{Registry: true, Gitea: true}))
//	}
//
// The servers are built from source on first use and cached; they listen on
// free loopback ports or Unix sockets, keep their files in a temporary folder,
// and end with the test process, however that ends. Nothing is skipped: what
// is missing on the machine is installed (as root) or named in an error.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/workspace"
)

// Options says which servers a lab has.
type Options struct {
	Registry     bool
	AuthRegistry bool // a second registry, which asks for a password
	Gitea        bool
	BuildKit     bool
	Kubernetes   bool // brings Registry and BaseImages
	BaseImages   bool // brings Registry, which then has the images named Busybox and Python
	APIServer    bool // the API server of a second cluster, with nothing behind it
	S3           bool

	// Progress gets a line for each server, and for each thing that takes
	// minutes the first time; standard error when nil.
	Progress io.Writer
}

// Lab is a set of running servers. The fields of servers that were not asked
// for are nil.
type Lab struct {
	Dir          string // temporary folder with everything below it; logs are DIR/SERVER/*.log
	DockerConfig string // DOCKER_CONFIG folder: credentials of AuthRegistry, and the plugin buildx

	Registry     *Registry
	AuthRegistry *Registry
	Gitea        *Gitea
	BuildKit     *BuildKit
	Kubernetes   *Kubernetes
	APIServer    *APIServer
	S3           *S3

	workspace *workspace.Workspace
	mu        sync.Mutex
	stops     []func() error
}

// Start builds what is not in the cache and starts the servers, in parallel.
// It returns when all of them answer. On failure none is left running, and the
// error shows the end of the log of the server that failed.
func Start(ctx context.Context, opts Options) (*Lab, error) {
	if opts.Progress == nil {
		opts.Progress = os.Stderr
	}
	opts.BaseImages = opts.BaseImages || opts.Kubernetes
	opts.Registry = opts.Registry || opts.BaseImages
	if opts.BuildKit || opts.Kubernetes {
		if err := host.RequireRoot(); err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
	}
	made, err := prepare(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	w, err := workspace.New()
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{Dir: w.Dir, DockerConfig: filepath.Join(w.Dir, "docker"), workspace: w}
	if err := l.start(ctx, opts, made); err != nil {
		err = errors.Join(err, l.stop())
		w.Release() // its logs stay until the next lab starts
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, opts Options, made *artifacts) error {
	timed := func(ctx context.Context, name string, start func(context.Context, *artifacts) error) error {
		begin := time.Now()
		if err := start(ctx, made); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(opts.Progress, "lab: %s is ready after %.2f s\n", name, time.Since(begin).Seconds())
		return nil
	}
	// The registries first: the others push to them or hold their credentials.
	if opts.Registry {
		if err := timed(ctx, "registry", l.startRegistry); err != nil {
			return err
		}
	}
	if opts.AuthRegistry {
		if err := timed(ctx, "auth-registry", l.startAuthRegistry); err != nil {
			return err
		}
	}
	if err := l.writeDockerConfig(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	run := func(wanted bool, name string, start func(context.Context, *artifacts) error) {
		if wanted {
			group.Go(func() error { return timed(ctx, name, start) })
		}
	}
	run(opts.BaseImages, "base images", l.pushBaseImages)
	run(opts.Gitea, "gitea", l.startGitea)
	run(opts.BuildKit, "buildkit", l.startBuildKit)
	run(opts.Kubernetes, "kubernetes", l.startKubernetes)
	run(opts.APIServer, "apiserver", l.startAPIServer)
	run(opts.S3, "s3", l.startS3)
	return group.Wait()
}

// Close ends all servers and removes their files.
func (l *Lab) Close() error {
	if err := l.stop(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if err := l.workspace.Remove(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// onStop notes how to end a server.
func (l *Lab) onStop(stop func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stops = append(l.stops, stop)
}

func (l *Lab) stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := make([]error, len(l.stops))
	var wg sync.WaitGroup
	for i, stop := range l.stops {
		wg.Go(func() { errs[i] = stop() })
	}
	wg.Wait()
	l.stops = nil
	return errors.Join(errs...)
}

// folder makes a folder for a server's files.
func (l *Lab) folder(name string) (string, error) {
	dir := filepath.Join(l.Dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	return dir, nil
}

// Env lists, as NAME=VALUE, what commands run against the lab need: KUBECONFIG,
// DOCKER_CONFIG, BUILDKIT_HOST and BUILDX_BUILDER under the names their tools
// know, a PATH with kubectl and buildctl in it, and the rest as DAVIT_LAB_*.
func (l *Lab) Env() []string {
	env := []string{
		"DOCKER_CONFIG=" + l.DockerConfig,
		"PATH=" + l.binDir() + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	if r := l.Registry; r != nil {
		env = append(env, "DAVIT_LAB_REGISTRY="+r.Host)
	}
	if r := l.AuthRegistry; r != nil {
		env = append(env, "DAVIT_LAB_AUTH_REGISTRY="+r.Host,
			"DAVIT_LAB_AUTH_REGISTRY_USER="+r.User, "DAVIT_LAB_AUTH_REGISTRY_PASSWORD="+r.Password)
	}
	if g := l.Gitea; g != nil {
		env = append(env, "DAVIT_LAB_GITEA_URL="+g.URL, "DAVIT_LAB_GITEA_USER="+g.User,
			"DAVIT_LAB_GITEA_PASSWORD="+g.Password, "DAVIT_LAB_GITEA_TOKEN="+g.Token,
			"DAVIT_LAB_GITEA_KNOWN_HOSTS="+g.KnownHostsFile)
	}
	if b := l.BuildKit; b != nil {
		env = append(env, "BUILDKIT_HOST="+b.Address, "BUILDX_BUILDER="+b.Builder)
	}
	if k := l.Kubernetes; k != nil {
		env = append(env, "KUBECONFIG="+k.Kubeconfig)
	}
	if s := l.S3; s != nil {
		env = append(env, "AWS_ENDPOINT_URL_S3="+s.URL, "AWS_REGION="+s.Region,
			"AWS_ACCESS_KEY_ID="+s.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.SecretKey)
	}
	return env
}

// binDir holds the commands that come with the servers.
func (l *Lab) binDir() string { return filepath.Join(l.Dir, "bin") }

// installCommand puts a binary of the cache into binDir.
func (l *Lab) installCommand(binary string) (string, error) {
	if err := os.MkdirAll(l.binDir(), 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(l.binDir(), filepath.Base(binary))
	return path, os.Symlink(binary, path)
}

// Run is the body of a TestMain: it starts a lab, stores it in *into, runs the
// tests, ends the lab and returns the code to exit with.
func Run(m interface{ Run() int }, into **Lab, opts Options) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	l, err := Start(ctx, opts)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*into = l
	stopped := make(chan int, 1)
	go func() { stopped <- m.Run() }()
	code := 1
	select {
	case code = <-stopped:
	case <-ctx.Done():
		_, _ = fmt.Fprintln(os.Stderr, "lab: interrupted")
	}
	if err := l.Close(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
