package buildx

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
)

// withBuilder builds with docker buildx and returns the digest of what was pushed.
func (j *job) withBuilder(ctx context.Context) (string, error) {
	command, err := buildxCommand()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "davit-buildx-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := copyContext(j, filepath.Join(dir, "context")); err != nil {
		return "", err
	}
	metadata := filepath.Join(dir, "metadata.json")
	args, err := j.arguments(filepath.Join(dir, "context"), metadata)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], args...)...) //nolint:gosec // docker buildx, as configured
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0", "BUILDX_METADATA_PROVENANCE=disabled", "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	for name, value := range j.Args {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	endWithParent(cmd)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("starting docker buildx: %w", err)
	}
	plain := j.progress.readJSON(stderr)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", errors.New(strings.TrimPrefix(strings.TrimSpace(strings.Join(plain, "\n")), "ERROR: "))
	}
	return metadataDigest(metadata)
}

// arguments are those of docker buildx. Values of build arguments travel in the environment: arguments of
// processes are for everybody to read.
func (j *job) arguments(context, metadata string) ([]string, error) {
	args := []string{"build", "--builder", j.Builder, "--platform", strings.Join(j.platforms(), ","), "--progress", "rawjson",
		"--metadata-file", metadata, "--provenance=false", "--sbom=false", "--file", filepath.Join(context, filepath.FromSlash(j.Dockerfile))}
	export := []string{"type=image"}
	for _, k := range slices.Sorted(maps.Keys(j.export())) {
		export = append(export, k+"="+j.export()[k])
	}
	args = append(args, "--output", strings.Join(export, ","))
	if j.Target != "" {
		args = append(args, "--target", j.Target)
	}
	for _, name := range slices.Sorted(maps.Keys(j.Args)) {
		args = append(args, "--build-arg", name)
	}
	for _, name := range slices.Sorted(maps.Keys(j.labels())) {
		args = append(args, "--label", name+"="+j.labels()[name])
	}
	for _, id := range slices.Sorted(maps.Keys(j.Secrets)) {
		args = append(args, "--secret", "id="+id+",src="+j.Secrets[id])
	}
	pins, err := j.pins()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		args = append(args, "--build-context", name+"="+pins[name])
	}
	return append(args, context), nil
}

// buildxCommand finds docker buildx, or buildx itself where there is no docker.
func buildxCommand() ([]string, error) {
	if docker, err := exec.LookPath("docker"); err == nil {
		return []string{docker, "buildx"}, nil
	}
	plugin := filepath.Join(config.Dir(), "cli-plugins", "docker-buildx")
	if _, err := os.Stat(plugin); err == nil {
		return []string{plugin}, nil
	}
	return nil, &sdk.Error{Summary: "there is no docker command on this machine", Path: sdk.At("builder"), Code: "buildx.no_docker",
		Hint: "install docker with buildx, or use buildkit, which needs neither"}
}

// copyContext writes the context with the modes that Git has: the cache keeps files read-only.
func copyContext(j *job, to string) error {
	for _, e := range j.in.tree.Entries() {
		path := filepath.Join(to, filepath.FromSlash(e.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as a checkout has it
			return err
		}
		if e.Link != "" {
			if err := os.Symlink(e.Link, path); err != nil {
				return err
			}
			continue
		}
		b, err := j.in.tree.ReadFile(e.Path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, b, fileMode(e.Mode)); err != nil {
			return err
		}
		if err := os.Chtimes(path, modTime(e), modTime(e)); err != nil {
			return err
		}
	}
	return nil
}

func metadataDigest(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading what docker buildx has built: %w", err)
	}
	var m struct {
		Digest string `json:"containerimage.digest"`
	}
	if err := json.Unmarshal(b, &m); err != nil || m.Digest == "" {
		return "", fmt.Errorf("docker buildx did not say what it has built: %w", err)
	}
	return m.Digest, nil
}

// readJSON reads progress as docker buildx writes it, and returns the lines that are none.
func (p *progress) readJSON(r io.Reader) (plain []string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var s client.SolveStatus
		if err := json.Unmarshal(lines.Bytes(), &s); err == nil && lines.Bytes()[0] == '{' {
			p.status(&s)
			continue
		}
		if text := strings.TrimSpace(lines.Text()); text != "" && len(plain) < 50 {
			plain = append(plain, text)
		}
	}
	_, _ = io.Copy(io.Discard, r) // so that the command is not held up by a line that is too long
	return plain
}
