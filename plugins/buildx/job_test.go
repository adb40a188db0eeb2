package buildx

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"
)

// newJob is a job as an apply makes it, without a builder.
func newJob(t *testing.T, w *world) *job {
	t.Helper()
	in, err := gather(w.ctx(), w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := w.config.readSecrets(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	p, _ := screen(secrets, w.config)
	return &job{Config: w.config, in: in, repo: w.repo, secrets: secrets, stack: w.call.Host.StackDir, progress: p}
}

// Everybody on a machine can read the arguments of its processes.
func TestArgumentsOfDockerHoldNoSecret(t *testing.T) {
	w := newApp(t)
	w.config.Builder = "mine"
	w.config.Args = map[string]string{"PLAIN": "a, \"b\" c"}
	w.config.SensitiveArgs = map[string]string{"TOKEN": "hunter2"}
	w.config.Secrets = map[string]string{"file": `dir, with "comma"/secret.txt`, "var": "env:DAVIT_TEST_SECRET"}
	w.config.Labels = map[string]string{"team": "api"}
	w.config.Target = "0"
	w.config.Cache = &Cache{Ref: w.host + "/cache:1", Mode: "max"}
	t.Setenv("DAVIT_TEST_SECRET", "swordfish")
	t.Setenv("SOURCE_DATE_EPOCH", "12345")
	file := filepath.Join(w.call.Host.StackDir, w.config.Secrets["file"])
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("xyzzy"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := newJob(t, w)
	j.logins = sdk.Credentials{{Host: w.host, Username: "ada", Secret: "plugh"}}
	work := &workFolder{dir: t.TempDir()}
	args := j.arguments(work)
	for _, s := range []string{"hunter2", "swordfish", "xyzzy", "plugh", base64.StdEncoding.EncodeToString([]byte("ada:plugh"))} {
		if strings.Contains(strings.Join(args, " "), s) {
			t.Errorf("%s is in %q", s, args)
		}
	}
	for _, pair := range [][2]string{
		{"--builder", "mine"}, {"--platform", "linux/amd64,linux/arm64"}, {"--target", "0"}, {"--build-arg", `PLAIN=a, "b" c`}, {"--build-arg", "TOKEN"},
		{"--build-arg", "SOURCE_DATE_EPOCH=946684800"}, {"--label", "team=api"}, {"--label", "sh.davit.build.key=" + j.in.key}, {"--secret", "id=var,env=DAVIT_TEST_SECRET"},
	} {
		if !slices.ContainsFunc(indexes(args), func(i int) bool { return i+1 < len(args) && args[i] == pair[0] && args[i+1] == pair[1] }) {
			t.Errorf("no %s %s in %q", pair[0], pair[1], args)
		}
	}
	i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "id=file,") })
	if fields, err := csv.NewReader(strings.NewReader(args[i])).Read(); err != nil || len(fields) != 2 || fields[1] != "src="+file {
		t.Errorf("%q is read as %q, %v", args[i], fields, err)
	}
	env := j.environment(work)
	if !slices.Contains(env, "TOKEN=hunter2") || slices.Contains(env, "SOURCE_DATE_EPOCH=12345") {
		t.Errorf("environment %q", env)
	}
	// What the environment says, docker reads as the login of that host, and of no other.
	for _, e := range env {
		if value, is := strings.CutPrefix(e, configfile.DockerEnvConfigKey+"="); is {
			t.Setenv(configfile.DockerEnvConfigKey, value)
		}
	}
	for host, want := range map[string]string{w.host: "ada:plugh", "registry.example.com": ":"} {
		if login, err := configfile.New("").GetAuthConfig(host); err != nil || login.Username+":"+login.Password != want {
			t.Errorf("docker reads %q, %v for %s, want %q", login.Username+":"+login.Password, err, host, want)
		}
	}
}

// The daemon asks for logins by host. The stack's come before those of the docker configuration.
func TestTheDaemonIsGivenTheLoginsOfTheStack(t *testing.T) {
	j := &job{logins: sdk.Credentials{{Host: "registry.example.com", Username: "ada", Secret: "plugh"}, {Host: "docker.io", Username: "hub", Secret: "xyzzy"}}}
	ask := j.login(func(context.Context, string, []string, authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
		return types.AuthConfig{Username: "docker's own"}, nil
	})
	for host, want := range map[string]string{"registry.example.com": "ada:plugh", "registry-1.docker.io": "hub:xyzzy", "other.example.com": "docker's own:"} {
		if login, err := ask(t.Context(), host, nil, nil); err != nil || login.Username+":"+login.Password != want {
			t.Errorf("%s: %q, %v, want %q", host, login.Username+":"+login.Password, err, want)
		}
	}
}

func indexes(s []string) []int {
	var out []int
	for i := range s {
		out = append(out, i)
	}
	return out
}

// What is built is what the key was computed over.
func TestBaseImagesArePinned(t *testing.T) {
	j := &job{in: &inputs{bases: map[string]string{
		"composer:latest": "sha256:" + strings.Repeat("a", 64), "127.0.0.1:5000/base:1": "sha256:" + strings.Repeat("b", 64),
		"debian@sha256:" + strings.Repeat("c", 64): "sha256:" + strings.Repeat("c", 64),
	}}}
	raw, err := json.Marshal(j.pins())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"rules":[` +
		`{"action":"CONVERT","selector":{"identifier":"docker-image://127.0.0.1:5000/base:1","match_type":"EXACT"},` +
		`"updates":{"identifier":"docker-image://127.0.0.1:5000/base:1@sha256:` + strings.Repeat("b", 64) + `"}},` +
		`{"action":"CONVERT","selector":{"identifier":"docker-image://docker.io/library/composer:latest","match_type":"EXACT"},` +
		`"updates":{"identifier":"docker-image://docker.io/library/composer:latest@sha256:` + strings.Repeat("a", 64) + `"}}]}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

// The cache of sources has read-only files, and the umask may be any; the image has what Git has.
func TestTheContextIsAsGitHasIt(t *testing.T) {
	old := syscall.Umask(0o077)
	t.Cleanup(func() { syscall.Umask(old) })
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "sub/run.sh"), []byte("one"), 0o500))
	must(os.WriteFile(filepath.Join(dir, "sub/deep/data"), []byte("two"), 0o400))
	must(os.Symlink("deep/data", filepath.Join(dir, "sub/link")))
	root, err := tree.Open(sdk.Tree{Path: dir})
	must(err)
	want := map[string]fs.FileMode{"sub": fs.ModeDir | 0o755, "sub/deep": fs.ModeDir | 0o755, "sub/run.sh": 0o755, "sub/deep/data": 0o644, "sub/link": fs.ModeSymlink | 0o777}

	sent, err := contextFS(root)
	must(err)
	got := map[string]fs.FileMode{}
	times := map[string]int64{}
	must(sent.Walk(t.Context(), "", func(path string, d fs.DirEntry, err error) error {
		must(err)
		info, err := d.Info()
		must(err)
		got[path], times[path] = info.Mode(), info.ModTime().UnixNano()
		return nil
	}))
	for path, mode := range want {
		if got[path] != mode {
			t.Errorf("to a daemon %s goes with %v, want %v", path, got[path], mode)
		}
	}

	to := filepath.Join(t.TempDir(), "context")
	must(copyContext(root, to))
	for path, mode := range want {
		info, err := os.Lstat(filepath.Join(to, path))
		must(err)
		if info.Mode() != mode {
			t.Errorf("to docker %s goes with %v, want %v", path, info.Mode(), mode)
		}
		if info.Mode().IsRegular() && info.ModTime().UnixNano() != times[path] {
			t.Errorf("%s has another time for docker", path)
		}
	}
	if b, err := os.ReadFile(filepath.Join(to, "sub/link")); err != nil || string(b) != "two" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestTimesTellContentsApart(t *testing.T) {
	one, two := modTime(tree.Entry{Digest: "sha256:1"}), modTime(tree.Entry{Digest: "sha256:2"})
	if one.Equal(two) || one.After(epoch) || two.After(epoch) || epoch.Sub(one).Hours() > 1 || !one.Equal(modTime(tree.Entry{Digest: "sha256:1", Path: "other"})) {
		t.Errorf("%v, %v", one, two)
	}
}
