package oci

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/sdk"
	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// cacheBelow is the size of a layer's files up to which its compressed form is kept in memory
// between computing its digest and sending it. Larger ones are packed again.
const cacheBelow = 64 << 20

// epoch is the time of everything in the images: a real one would make each build different.
var epoch = time.Unix(0, 0).UTC()

// index builds the images of all platforms.
func (in *inputs) index(ctx context.Context, c Config, label registry.Label) (v1.ImageIndex, error) {
	base, err := openBase(ctx, c, in.base)
	if err != nil {
		return nil, err
	}
	made := map[string]v1.Layer{} // the same layer of several platforms is packed once
	var adds []mutate.IndexAddendum
	for _, p := range in.platforms {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		img, err := in.image(ctx, c, base, p, made)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", p, err)
		}
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			return nil, fmt.Errorf("reading the platform %s: %w", p, err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	return registry.Annotate(mutate.AppendManifests(index, adds...), label)
}

func (in *inputs) image(ctx context.Context, c Config, base baseImages, platform string, made map[string]v1.Layer) (v1.Image, error) {
	img, err := base.forPlatform(platform)
	if err != nil {
		return nil, err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return nil, fmt.Errorf("reading the base image: %w", err)
	}
	layerType := types.OCILayer
	if mediaType == types.DockerManifestSchema2 {
		layerType = types.DockerLayer
	}
	for i, l := range in.layers {
		if len(l.platforms) > 0 && !slices.Contains(l.platforms, platform) {
			continue
		}
		id := fmt.Sprintf("%d %s", i, layerType)
		if made[id] == nil {
			if made[id], err = in.pack(ctx, i, layerType, c.Base != ""); err != nil {
				return nil, err
			}
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: made[id], History: v1.History{
			Created: v1.Time{Time: epoch}, CreatedBy: fmt.Sprintf("davit: files to %s", l.to),
		}})
		if err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base image's configuration: %w", err)
	}
	return mutate.ConfigFile(img, in.configure(config.DeepCopy(), c, platform))
}

// configure writes the settings over those of the base image.
func (in *inputs) configure(f *v1.ConfigFile, c Config, platform string) *v1.ConfigFile {
	p, _ := v1.ParsePlatform(platform)
	f.OS, f.Architecture, f.Variant = p.OS, p.Architecture, p.Variant
	f.Created = v1.Time{Time: epoch}
	f.Container = ""
	f.DockerVersion = "" //nolint:staticcheck // deprecated, and still in what bases have
	if len(c.Entrypoint) > 0 {
		// The base's arguments were for the base's entrypoint.
		f.Config.Entrypoint, f.Config.Cmd = c.Entrypoint, nil
	}
	if len(c.Cmd) > 0 {
		f.Config.Cmd = c.Cmd
	}
	if c.Workdir != "" {
		f.Config.WorkingDir = c.Workdir
	}
	if c.User != "" {
		f.Config.User = c.User
	}
	f.Config.Env = mergeEnv(f.Config.Env, c.Env)
	f.Config.Labels = mergeLabels(f.Config.Labels, c.Labels, in.key)
	for _, port := range c.Ports {
		if f.Config.ExposedPorts == nil {
			f.Config.ExposedPorts = map[string]struct{}{}
		}
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		f.Config.ExposedPorts[port] = struct{}{}
	}
	return f
}

func mergeEnv(base []string, set map[string]string) []string {
	var env []string
	for _, e := range base {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := set[name]; !ok {
			env = append(env, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		env = append(env, name+"="+set[name])
	}
	return env
}

// mergeLabels adds the labels and the content key, which is all of a build's label that
// does not depend on when and where it was built.
func mergeLabels(base, set map[string]string, key string) map[string]string {
	labels := maps.Clone(base)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, set)
	labels[registry.AnnotationKey] = key
	return labels
}

// pack makes the layer number i.
func (in *inputs) pack(ctx context.Context, i int, mediaType types.MediaType, onBase bool) (v1.Layer, error) {
	l := in.layers[i]
	var size int64
	for _, f := range l.files {
		size += f.Size
	}
	options := []tarball.LayerOption{
		tarball.WithMediaType(mediaType), tarball.WithCompressionLevel(gzip.DefaultCompression),
	}
	if size < cacheBelow {
		options = append(options, tarball.WithCompressedCaching)
	}
	open := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(in.writeTar(ctx, w, l, onBase)) }()
		return r, nil
	}
	made, err := tarball.LayerFromOpener(open, options...)
	if err != nil {
		return nil, fmt.Errorf("packing the files for %s: %w", l.to, err)
	}
	sdk.Log(ctx, "layer "+l.to, fmt.Sprintf("packed %s, %s", text.Count(len(l.files), "file"), humanize.Bytes(uint64(max(size, 0)))))
	return made, nil
}

// writeTar writes a layer: folders before their files, sorted by name, all of root's and without times.
func (in *inputs) writeTar(ctx context.Context, w io.Writer, l layer, onBase bool) error {
	t := tar.NewWriter(w)
	written := map[string]bool{}
	for _, f := range l.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeFolders(t, path.Dir(f.name), onBase, written); err != nil {
			return err
		}
		if err := in.writeFile(t, f); err != nil {
			return err
		}
	}
	return t.Close()
}

// basesOwn are folders that a base image has and that may be links there ("/bin" to "/usr/bin"):
// an entry for one would replace the link.
var basesOwn = map[string]bool{
	"bin": true, "boot": true, "dev": true, "etc": true, "home": true, "lib": true, "lib32": true, "lib64": true, "libx32": true,
	"media": true, "mnt": true, "opt": true, "proc": true, "root": true, "run": true, "sbin": true, "srv": true, "sys": true,
	"tmp": true, "usr": true, "usr/bin": true, "usr/lib": true, "usr/local": true, "usr/local/bin": true, "usr/sbin": true,
	"usr/share": true, "var": true, "var/lib": true, "var/lock": true, "var/log": true, "var/run": true, "var/tmp": true,
}

// writeFolders writes the entries of a folder and those above it. Engines make folders without an
// entry too, but some of them so that only root may look into them.
func writeFolders(t *tar.Writer, dir string, onBase bool, written map[string]bool) error {
	if dir == "." || dir == "/" || written[dir] {
		return nil
	}
	if err := writeFolders(t, path.Dir(dir), onBase, written); err != nil {
		return err
	}
	written[dir] = true
	if onBase && basesOwn[dir] {
		return nil
	}
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: epoch})
}

func (in *inputs) writeFile(t *tar.Writer, f packed) error {
	if f.Mode&fs.ModeSymlink != 0 {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: f.name, Linkname: f.Link, Mode: f.mode, ModTime: epoch})
	}
	file, err := in.tree.FS().Open(f.Path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	defer func() { _ = file.Close() }()
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: f.Size, ModTime: epoch}
	if err := t.WriteHeader(header); err != nil {
		return fmt.Errorf("packing %s: %w", f.Path, err)
	}
	if _, err := io.CopyN(t, file, f.Size); err != nil {
		return fmt.Errorf("packing %s: the file became shorter: %w", f.Path, err)
	}
	if n, err := file.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("packing %s: the file became longer", f.Path)
	}
	return nil
}
