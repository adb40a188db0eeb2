package buildx

import (
	"context"
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

	"github.com/davit-sh/davit/plugins/internal/build"
	registry "github.com/davit-sh/davit/plugins/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// format is part of the key: it changes when the same inputs give other images.
const format = 1

// inputs is all that decides over the images.
type inputs struct {
	tree      *tree.Tree
	files     []tree.Entry      // trigger files, the Dockerfile and its .dockerignore
	bases     map[string]string // digests of base images, by the reference as the Dockerfile means it
	unmatched []string          // triggers that match nothing
	key       string
}

// gather reads what the configuration names. pinned are the base digests of a reviewed plan;
// others are asked from their registries.
func gather(ctx context.Context, c Config, pinned map[string]string) (*inputs, error) {
	root, err := tree.Open(c.Source.Tree)
	if err != nil {
		return nil, fmt.Errorf("opening the files of %s: %w", c.Source.Address, err)
	}
	if root, err = root.Sub(c.Context); err != nil {
		return nil, &sdk.Error{Summary: "the context is not a folder of the source", Path: sdk.At("context"), Err: err}
	}
	in := &inputs{tree: root}
	text, err := root.ReadFile(c.Dockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noDockerfile(root, c)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	if err := in.selectFiles(c); err != nil {
		return nil, err
	}
	references, err := bases(text, c)
	if err != nil {
		return nil, err
	}
	in.bases = map[string]string{}
	for _, ref := range references {
		if in.bases[ref], err = baseDigest(ctx, ref, pinned[ref], c); err != nil {
			return nil, err
		}
	}
	in.key, err = in.computeKey(c)
	return in, err
}

func noDockerfile(root *tree.Tree, c Config) error {
	hint := "set dockerfile to where it is, relative to the context"
	for _, e := range root.Entries() {
		if strings.Contains(strings.ToLower(path.Base(e.Path)), "dockerfile") {
			hint = fmt.Sprintf("there is %s: set dockerfile = %q", e.Path, e.Path)
			break
		}
	}
	return &sdk.Error{Summary: fmt.Sprintf("there is no %s in the context %s", c.Dockerfile, c.Context), Path: sdk.At("dockerfile"), Hint: hint, Code: "buildx.no_dockerfile"}
}

func (in *inputs) selectFiles(c Config) error {
	in.files = slices.Clone(in.tree.Entries())
	if len(c.Triggers) == 0 {
		return nil
	}
	var err error
	if in.files, in.unmatched, err = in.tree.Match(c.Triggers...); err != nil {
		return fmt.Errorf("matching triggers: %w", err)
	}
	always, _, err := in.tree.Match(c.Dockerfile, c.Dockerfile+".dockerignore", ".dockerignore")
	if err != nil {
		return fmt.Errorf("matching the Dockerfile: %w", err)
	}
	in.files = append(in.files, always...)
	slices.SortFunc(in.files, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	in.files = slices.CompactFunc(in.files, func(a, b tree.Entry) bool { return a.Path == b.Path })
	return nil
}

func baseDigest(ctx context.Context, reference, pinned string, c Config) (string, error) {
	if pinned != "" {
		return pinned, nil
	}
	ref, err := registry.Parse(reference, c.Insecure)
	if err != nil {
		return "", build.At(err, "dockerfile")
	}
	digest, err := registry.Digest(ctx, ref)
	if err != nil {
		return "", build.At(err, "dockerfile")
	}
	return digest, nil
}

// computeKey hashes what decides over the images; the repository and the tag do not.
func (in *inputs) computeKey(c Config) (string, error) {
	raw, err := json.Marshal(map[string]any{
		"type": "buildx", "format": format, "files": tree.Digest(in.files), "settings": c.settings(),
		"platforms": c.platforms(), "bases": in.bases,
	})
	if err != nil {
		return "", fmt.Errorf("computing the content key: %w", err)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// settings are the settings that a person wrote, by name. What is empty is left out.
func (c Config) settings() map[string]any {
	s := map[string]any{}
	for name, v := range map[string]map[string]string{"labels": c.Labels} {
		if len(v) > 0 {
			s[name] = v
		}
	}
	for name, v := range c.Args {
		s["build argument "+name] = v
	}
	if c.Target != "" {
		s["target"] = c.Target
	}
	if c.Dockerfile != "Dockerfile" {
		s["dockerfile"] = c.Dockerfile
	}
	if len(c.Secrets) > 0 {
		s["secrets"] = slices.Sorted(maps.Keys(c.Secrets))
	}
	return s
}

// platforms returns the platforms, sorted: their order means nothing.
func (c Config) platforms() []string {
	if len(c.Platforms) == 0 {
		return []string{"linux/amd64", "linux/arm64"}
	}
	return slices.Sorted(slices.Values(c.Platforms))
}
