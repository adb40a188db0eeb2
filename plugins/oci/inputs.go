package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// format is part of the key: it changes when the same inputs give other images.
const format = 1

const defaultTarget = "/app"

// inputs is all that the images are made of.
type inputs struct {
	tree      *tree.Tree
	files     []tree.Entry // trigger files and packed files, sorted by path
	layers    []layer
	platforms []string
	base      string   // digest of the base image; empty without one
	unmatched []string // triggers that match nothing
	key       string
}

// layer is the content of one layer.
type layer struct {
	to        string
	platforms []string // none: all
	files     []packed // sorted by name
}

// packed is a file on its way into a layer.
type packed struct {
	tree.Entry
	name string // in the image, without the leading slash
	mode int64
}

// gather reads what the configuration names. base is the digest that a reviewed plan
// pinned; empty asks the registry what the base is now.
func gather(ctx context.Context, c Config, base string) (*inputs, error) {
	root, err := tree.Open(c.Source.Tree)
	if err != nil {
		return nil, fmt.Errorf("opening the files of %s: %w", c.Source.Address, err)
	}
	if root, err = root.Sub(c.Context); err != nil {
		return nil, &sdk.Error{Summary: "the context is not a folder of the source", Path: sdk.At("context"), Err: err}
	}
	in := &inputs{tree: root, platforms: c.platforms()}
	if err := in.selectFiles(c); err != nil {
		return nil, err
	}
	if in.base, err = baseDigest(ctx, c, base); err != nil {
		return nil, err
	}
	in.key, err = in.computeKey(c)
	return in, err
}

// selectFiles finds the layers' files and the trigger files. Every packed file takes part in the key.
func (in *inputs) selectFiles(c Config) error {
	triggers := in.tree.Entries()
	if len(c.Triggers) > 0 {
		var err error
		if triggers, in.unmatched, err = in.tree.Match(slices.Clone(c.Triggers)...); err != nil {
			return fmt.Errorf("matching triggers: %w", err)
		}
	}
	if len(c.Layers) == 0 {
		if len(triggers) == 0 {
			return &sdk.Error{Summary: "no file matches the triggers: the image would be empty", Path: sdk.At("triggers"),
				Detail: "The context is " + c.Context + ".", Hint: "patterns are relative to the context"}
		}
		l, err := newLayer(Layer{To: cmp.Or(c.To, defaultTarget)}, triggers)
		in.files, in.layers = triggers, []layer{l}
		return err
	}
	if len(c.Triggers) > 0 {
		in.files = slices.Clone(triggers)
	}
	for i, l := range c.Layers {
		matched, _, err := in.tree.Match(l.From)
		if err != nil {
			return fmt.Errorf("matching %q: %w", l.From, err)
		}
		if len(matched) == 0 {
			return &sdk.Error{Summary: fmt.Sprintf("no file matches %q: the layer would be empty", l.From),
				Path: sdk.At("layer").Index(i).Attribute("from"), Hint: "patterns are relative to the context"}
		}
		made, err := newLayer(l, matched)
		if err != nil {
			return build.At(err, sdk.At("layer").Index(i))
		}
		in.layers = append(in.layers, made)
		in.files = append(in.files, matched...)
	}
	slices.SortFunc(in.files, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	in.files = slices.CompactFunc(in.files, func(a, b tree.Entry) bool { return a.Path == b.Path })
	return nil
}

func newLayer(l Layer, entries []tree.Entry) (layer, error) {
	made := layer{to: l.To, platforms: slices.Sorted(slices.Values(l.Platforms))}
	strip := path.Clean(l.Strip)
	for _, e := range entries {
		rest := e.Path
		if strip != "." {
			var ok bool
			if rest, ok = strings.CutPrefix(e.Path, strip+"/"); !ok {
				return layer{}, &sdk.Error{Summary: fmt.Sprintf("%s is not in the folder %q of strip", e.Path, l.Strip), Path: sdk.At("strip")}
			}
		}
		name := strings.TrimPrefix(path.Join("/", l.To, rest), "/")
		if strings.HasPrefix(path.Base(name), ".wh.") || strings.Contains(name, "/.wh.") {
			return layer{}, &sdk.Error{Summary: e.Path + ": in a layer, a file whose name begins with .wh. deletes a file of the base image", Path: sdk.At("from")}
		}
		made.files = append(made.files, packed{Entry: e, name: name, mode: modeOf(e, l.Mode)})
	}
	slices.SortFunc(made.files, func(a, b packed) int { return strings.Compare(a.name, b.name) })
	return made, nil
}

func modeOf(e tree.Entry, wish string) int64 {
	if e.Mode&fs.ModeSymlink != 0 {
		return 0o777
	}
	if n, err := strconv.ParseInt(wish, 8, 32); wish != "" && err == nil {
		return n
	}
	if e.Mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func baseDigest(ctx context.Context, c Config, pinned string) (string, error) {
	if c.Base == "" {
		return "", nil
	}
	ref, err := c.baseReference()
	if err != nil {
		return "", build.At(err, sdk.At("base"))
	}
	if pinned != "" {
		return pinned, nil
	}
	digest, err := registry.Digest(ctx, ref)
	if err != nil {
		return "", build.At(err, sdk.At("base"))
	}
	return digest, nil
}

// computeKey hashes what decides over the images. The repository and the tag do not: the same images are
// found again under any tag, and looked for in the repository that is configured.
func (in *inputs) computeKey(c Config) (string, error) {
	type keyLayer struct {
		Platforms []string
		Files     [][]string // name, mode, digest or link
	}
	var layers []keyLayer
	for _, l := range in.layers {
		k := keyLayer{Platforms: l.platforms}
		for _, f := range l.files {
			k.Files = append(k.Files, []string{f.name, strconv.FormatInt(f.mode, 8), f.Digest, f.Link})
		}
		layers = append(layers, k)
	}
	raw, err := json.Marshal(map[string]any{
		"type": "oci", "format": format,
		"files": tree.Digest(in.files), "layers": layers,
		"settings": c.settings(), "platforms": in.platforms, "base": in.base,
	})
	if err != nil {
		return "", fmt.Errorf("computing the content key: %w", err)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// settings are the settings of the images that a person wrote, by name. What is empty is left out.
func (c Config) settings() map[string]any {
	s := map[string]any{}
	lists := map[string][]string{"entrypoint": c.Entrypoint, "cmd": c.Cmd, "ports": slices.Sorted(slices.Values(c.Ports))}
	for name, v := range lists {
		if len(v) > 0 {
			s[name] = v
		}
	}
	for name, v := range map[string]map[string]string{"env": c.Env, "labels": c.Labels} {
		if len(v) > 0 {
			s[name] = v
		}
	}
	for name, v := range map[string]string{"workdir": c.Workdir, "user": c.User} {
		if v != "" {
			s[name] = v
		}
	}
	return s
}
