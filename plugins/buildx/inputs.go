package buildx

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// format is part of the key: it changes when the same inputs give other images.
const format = 1

// inputs is all that decides over the images.
type inputs struct {
	tree       *tree.Tree        // the build context
	files      []tree.Entry      // trigger files, the Dockerfile and its .dockerignore, sorted
	dockerfile string            // digest of its text, which may be behind a link
	bases      map[string]string // digests of base images, by names such as "python:3.11"
	settings   map[string]any
	unmatched  []string // triggers that match nothing
	key        string
}

// gather reads what the configuration names. pinned are the base digests of a reviewed plan;
// others are asked from their registries.
func gather(ctx context.Context, c Config, pinned map[string]string) (*inputs, error) {
	root, err := tree.Open(c.Source.Tree)
	if err != nil {
		return nil, fmt.Errorf("opening the files of %s: %w", c.Source.Address, err)
	}
	if root, err = root.Sub(c.Context); err != nil {
		return nil, &sdk.Error{Summary: "the context is not a folder of the source", Path: sdk.At("context"), Code: "buildx.context", Err: err}
	}
	in := &inputs{tree: root, bases: map[string]string{}}
	text, err := root.ReadFile(c.Dockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noDockerfile(root, c)
	}
	if err != nil {
		return nil, &sdk.Error{Summary: "the Dockerfile cannot be read", Path: sdk.At("dockerfile"), Code: "buildx.dockerfile", Err: err}
	}
	in.dockerfile = hash(text)
	if in.files, in.unmatched, err = selectFiles(root, c); err != nil {
		return nil, err
	}
	names, err := bases(text, c)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if in.bases[name], err = baseDigest(ctx, name, pinned[name], c); err != nil {
			return nil, err
		}
	}
	if in.settings, err = c.settings(); err != nil {
		return nil, err
	}
	in.key, err = in.computeKey(c)
	return in, err
}

// noDockerfile suggests the file that was likely meant.
func noDockerfile(root *tree.Tree, c Config) error {
	hint, best := "set dockerfile to its path, relative to the context", 0
	for _, e := range root.Entries() {
		score, base := 0, strings.ToLower(path.Base(e.Path))
		switch {
		case base == strings.ToLower(path.Base(c.Dockerfile)):
			score = 3
		case strings.HasSuffix(base, ".dockerignore"):
		case strings.Contains(base, "dockerfile"):
			score = 2
		case strings.Contains(base, "containerfile"):
			score = 1
		}
		if score > best {
			hint, best = fmt.Sprintf("%s exists: set dockerfile = %q", e.Path, e.Path), score
		}
	}
	return &sdk.Error{Summary: fmt.Sprintf("%s does not exist in the context %s", c.Dockerfile, c.Context), Path: sdk.At("dockerfile"), Hint: hint, Code: "buildx.no_dockerfile"}
}

func baseDigest(ctx context.Context, name, pinned string, c Config) (string, error) {
	if pinned != "" {
		return pinned, nil
	}
	ref, err := registry.Parse(name, c.Insecure)
	if err != nil {
		return "", build.At(err, sdk.At("dockerfile"))
	}
	digest, err := registry.Digest(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("the base image %s: %w", name, build.At(err, sdk.At("dockerfile")))
	}
	return digest, nil
}

// computeKey hashes what decides over the images; the repository and the tag do not.
func (in *inputs) computeKey(c Config) (string, error) {
	raw, err := json.Marshal(map[string]any{
		"type": "buildx", "format": format, "files": tree.Digest(in.files), "dockerfile": in.dockerfile, "settings": in.settings,
		"platforms": c.platforms(), "bases": in.bases,
	})
	if err != nil {
		return "", fmt.Errorf("computing the content key: %w", err)
	}
	return hash(raw), nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// settings are the settings that a person wrote, by name. What is empty is left out.
func (c Config) settings() (map[string]any, error) {
	s := map[string]any{}
	if len(c.Labels) > 0 {
		s["labels"] = c.Labels
	}
	for name, v := range c.Args {
		s["build argument "+name] = v
	}
	for name, v := range c.SensitiveArgs {
		print, err := fingerprint(name, v)
		if err != nil {
			return nil, err
		}
		s["build argument "+name] = print
	}
	if c.Target != "" {
		s["target"] = c.Target
	}
	if c.Dockerfile != defaultDockerfile {
		s["dockerfile"] = c.Dockerfile
	}
	if len(c.Secrets) > 0 {
		s["secrets"] = slices.Sorted(maps.Keys(c.Secrets))
	}
	return s, nil
}

// rounds make it slow to guess a short secret from its fingerprint (some 20 ms each).
const rounds = 100_000

// fingerprint tells a sensitive value from others without holding it. The content key is public and made of it.
func fingerprint(name, value string) (string, error) {
	key, err := pbkdf2.Key(sha256.New, value, []byte("davit buildx "+name), rounds, 16)
	if err != nil {
		return "", fmt.Errorf("fingerprinting the build argument %s: %w", name, err)
	}
	return "pbkdf2:" + hex.EncodeToString(key), nil
}

// buildArgs are all build arguments.
func (c Config) buildArgs() map[string]string {
	all := map[string]string{}
	maps.Copy(all, c.Args)
	maps.Copy(all, c.SensitiveArgs)
	return all
}

// platforms returns the platforms in their usual form ("linux/arm" is "linux/arm/v7"), sorted: their order means nothing.
func (c Config) platforms() []string {
	if len(c.Platforms) == 0 {
		return []string{"linux/amd64", "linux/arm64"}
	}
	var out []string
	for _, p := range c.Platforms {
		out = append(out, normalPlatform(p))
	}
	slices.Sort(out)
	return out
}

func normalPlatform(p string) string {
	parsed, err := platforms.Parse(p)
	if err != nil {
		return p
	}
	return platforms.FormatAll(platforms.Normalize(parsed))
}
