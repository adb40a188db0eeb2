package buildx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/davit-sh/davit/sdk"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
)

// withBuilder builds with docker buildx and returns the digest of what was pushed.
func (j *job) withBuilder(ctx context.Context) (string, error) {
	command, err := buildxCommand()
	if err != nil {
		return "", err
	}
	w, err := newWorkFolder(j.cacheDir)
	if err != nil {
		return "", fmt.Errorf("making a folder for the build: %w", err)
	}
	defer w.remove()
	if err := j.prepare(w); err != nil {
		return "", fmt.Errorf("preparing the build in %s: %w", w.dir, err)
	}
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], j.arguments(w)...)...) //nolint:gosec // docker buildx, as configured
	cmd.Env = j.environment(w)
	output := &rawJSON{progress: j.progress}
	cmd.Stderr = output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = lastWords
	if err := runHere(cmd); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", j.explain(output, err)
	}
	return metadataDigest(w.metadata())
}

// prepare writes what docker buildx reads.
func (j *job) prepare(w *workFolder) error {
	if err := copyContext(j.in.tree, w.context()); err != nil {
		return err
	}
	policy, err := json.Marshal(j.pins())
	if err != nil {
		return err
	}
	return os.WriteFile(w.policy(), policy, 0o600)
}

// runHere runs a command from one thread: Linux ends a child with the thread that has started it.
func runHere(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	endWithParent(cmd)
	return cmd.Run()
}

// arguments are those of docker buildx. Everybody on the machine can read them, so that sensitive values are not among them.
func (j *job) arguments(w *workFolder) []string {
	args := []string{
		"build", "--builder", j.Builder, "--platform", strings.Join(j.platforms(), ","), "--progress", "rawjson",
		"--metadata-file", w.metadata(), "--provenance=false", "--sbom=false",
		"--file", filepath.Join(w.context(), filepath.FromSlash(j.Dockerfile)), "--output", options("image", j.export()),
	}
	if j.Target != "" {
		args = append(args, "--target", j.Target)
	}
	plain := map[string]string{epochArg: j.epochOf()}
	maps.Copy(plain, j.Args)
	for _, name := range slices.Sorted(maps.Keys(plain)) {
		args = append(args, "--build-arg", name+"="+plain[name])
	}
	for _, name := range slices.Sorted(maps.Keys(j.SensitiveArgs)) {
		args = append(args, "--build-arg", name) // its value is in the environment
	}
	labels := j.labels()
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, "--label", name+"="+labels[name])
	}
	for _, s := range j.secrets {
		from := "src=" + s.file
		if s.env != "" {
			from = "env=" + s.env
		}
		args = append(args, "--secret", quoteCSV("id="+s.id)+","+quoteCSV(from))
	}
	if j.Cache != nil {
		args = append(args, "--cache-from", options("registry", j.cacheFrom()), "--cache-to", options("registry", j.cacheTo()))
	}
	return append(args, w.context())
}

func (j *job) environment(w *workFolder) []string {
	// A time in the environment is another way to give the build argument.
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, epochArg+"=") })
	env = append(env, "BUILDX_METADATA_PROVENANCE=disabled", "BUILDX_METADATA_WARNINGS=0", "BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY="+w.policy())
	if logins := j.dockerLogins(); logins != "" {
		env = append(env, configfile.DockerEnvConfigKey+"="+logins)
	}
	for name, value := range j.SensitiveArgs {
		env = append(env, name+"="+value)
	}
	return env
}

// options writes a type and its attributes as docker buildx reads them.
func options(kind string, attrs map[string]string) string {
	fields := []string{"type=" + kind}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		fields = append(fields, quoteCSV(k+"="+attrs[k]))
	}
	return strings.Join(fields, ",")
}

// quoteCSV keeps a field that has commas or quotes in one piece.
func quoteCSV(field string) string {
	if !strings.ContainsAny(field, ",\"\n") {
		return field
	}
	return `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
}

// buildxCommand finds docker buildx, or buildx itself where there is no docker. DAVIT_BUILDX names another one.
func buildxCommand() ([]string, error) {
	if command := os.Getenv("DAVIT_BUILDX"); command != "" {
		return []string{command}, nil
	}
	if docker, err := exec.LookPath("docker"); err == nil {
		return []string{docker, "buildx"}, nil
	}
	for _, name := range []string{filepath.Join(config.Dir(), "cli-plugins", "docker-buildx"), "docker-buildx", "buildx"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, &sdk.Error{Summary: "the docker command was not found", Path: sdk.At("builder"), Code: "buildx.no_docker",
		Hint: "install docker with buildx, or set buildkit, which needs neither"}
}

// explain turns what docker buildx says for itself into an error.
func (j *job) explain(output *rawJSON, err error) error {
	output.end()
	text, said := output.message()
	switch {
	case !said:
		return fmt.Errorf("docker buildx failed without a message: %w", err)
	case strings.Contains(text, "no builder ") && strings.Contains(text, " found"):
		return &sdk.Error{Summary: fmt.Sprintf("the docker buildx builder %q does not exist", j.Builder), Detail: text, Path: sdk.At("builder"), Code: "buildx.no_builder",
			Hint: "docker buildx ls lists them; docker buildx create --name " + j.Builder + " makes one"}
	case strings.Contains(text, "is not a docker command") || strings.Contains(text, "unknown command: docker buildx"):
		return &sdk.Error{Summary: "the docker command has no buildx plugin", Path: sdk.At("builder"), Code: "buildx.no_docker",
			Hint: "install the docker-buildx plugin, or set buildkit, which needs neither"}
	}
	return errors.New(text)
}

func metadataDigest(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the result of docker buildx: %w", err)
	}
	var m struct {
		Digest string `json:"containerimage.digest"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return "", fmt.Errorf("reading the result of docker buildx: %w", err)
	}
	if m.Digest == "" {
		return "", errors.New("docker buildx reported no image digest")
	}
	return m.Digest, nil
}
