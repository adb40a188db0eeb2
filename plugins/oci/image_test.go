package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// imageOf pulls one platform's image of a pushed build.
func (w *world) imageOf(tag, platform string) v1.Image {
	w.t.Helper()
	index := w.index(tag)
	m, err := index.IndexManifest()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range m.Manifests {
		if d.Platform != nil && registry.PlatformString(*d.Platform) == platform {
			img, err := index.Image(d.Digest)
			if err != nil {
				w.t.Fatal(err)
			}
			return img
		}
	}
	w.t.Fatalf("no image for %s in %s", platform, tag)
	return nil
}

// listing shows the entries of an image's layers as lines.
func listing(t *testing.T, img v1.Image) string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(r); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(in)
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(epoch) {
				t.Errorf("%s is of %d:%d %q at %s", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
			}
			line := fmt.Sprintf("%d %o %s %s%s", i, h.Mode, h.Name, text, h.Linkname)
			fmt.Fprintln(&b, strings.TrimSpace(line))
		}
		_ = r.Close()
	}
	return b.String()
}

func TestTwoMachinesBuildTheSameDigest(t *testing.T) {
	files := map[string]string{"bin/run": "#!/bin/sh", "z": "1", "a/b/c": strings.Repeat("x", 100_000)}
	build := func(umask int, age time.Duration) Outputs {
		old := syscall.Umask(umask)
		defer syscall.Umask(old)
		w := newWorld(t, files)
		root := w.config.Source.Tree.Path
		if err := os.Chmod(filepath.Join(root, "bin/run"), 0o777&^os.FileMode(umask)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("bin/run", filepath.Join(root, "link")); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(root, "z"), then, then); err != nil {
			t.Fatal(err)
		}
		w.config.Labels = map[string]string{"b": "2", "a": "1", "c": "3"}
		w.config.Env = map[string]string{"B": "2", "A": "1", "C": "3"}
		w.config.Ports = []string{"8080", "53/udp"}
		return w.apply()
	}
	one, two := build(0o022, 0), build(0o077, 1000*time.Hour)
	if one.Key != two.Key || one.Digest != two.Digest {
		t.Errorf("%s %v and %s %v", one.Key, one.Digest, two.Key, two.Digest)
	}
}

func TestTheOrderOfPlatformsAndPortsMeansNothing(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1"})
	w.config.Ports = []string{"1", "2"}
	first := w.apply()
	slices.Reverse(w.config.Platforms)
	slices.Reverse(w.config.Ports)
	if p := w.plan(); p.Action != sdk.ActionNone || p.Outputs.Key != first.Key {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
}

func TestWithoutLayerBlocksTheTriggerFilesGoToOneFolder(t *testing.T) {
	w := newWorld(t, map[string]string{"src/main.py": "print(1)", "src/lib/x.py": "x", "src/README": "no", "other": "no"})
	w.config.Context, w.config.Triggers = "src", []string{"main.py", "lib/**"}
	w.apply()
	want := `0 755 app/
0 755 app/lib/
0 644 app/lib/x.py x
0 644 app/main.py print(1)
`
	if got := listing(t, w.imageOf("1.0.1", "linux/arm64")); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestLayersGoWhereTheySayOnThePlatformsTheyName(t *testing.T) {
	w := newWorld(t, map[string]string{
		"dist/index.html": "hello", "dist/css/a.css": "css", "bin/arm64/server": "arm", "bin/amd64/server": "amd", "conf/app.ini": "ini",
	})
	w.config.Layers = []Layer{
		{From: "dist/**", To: "/srv/www", Strip: "dist"},
		{From: "bin/arm64/*", To: "/usr/bin", Strip: "bin/arm64", Mode: "0755", Platforms: []string{"linux/arm64"}},
		{From: "bin/amd64/*", To: "/usr/bin", Strip: "bin/amd64", Mode: "0755", Platforms: []string{"linux/amd64"}},
		{From: "conf/*.ini", To: "/"},
	}
	w.apply()
	want := `0 755 srv/
0 755 srv/www/
0 755 srv/www/css/
0 644 srv/www/css/a.css css
0 644 srv/www/index.html hello
1 755 usr/
1 755 usr/bin/
1 755 usr/bin/server arm
2 755 conf/
2 644 conf/app.ini ini
`
	if got := listing(t, w.imageOf("1.0.1", "linux/arm64")); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := listing(t, w.imageOf("1.0.1", "linux/amd64")); !strings.Contains(got, "usr/bin/server amd") || strings.Contains(got, "arm") {
		t.Errorf("amd64:\n%s", got)
	}
}

func TestAPackedFileCountsEvenIfNoTriggerNamesIt(t *testing.T) {
	w := newWorld(t, map[string]string{"main": "1", "test": "1", "doc": "1"})
	w.config.Triggers = []string{"test"}
	w.config.Layers = []Layer{{From: "main", To: "/"}}
	w.apply()
	for file, want := range map[string]sdk.Action{"main": sdk.ActionBuild, "test": sdk.ActionBuild, "doc": sdk.ActionNone} {
		w.write(map[string]string{file: "2"})
		w.config.Tag = "1.0.2"
		if p := w.plan(); p.Action != want {
			t.Errorf("%s changed: %s %q", file, p.Action, p.Reasons)
		}
		w.write(map[string]string{file: "1"})
	}
}

func TestSettingsAreInTheImage(t *testing.T) {
	w := newWorld(t, map[string]string{"a": "1"})
	w.config.Entrypoint, w.config.Cmd = []string{"/app/a"}, []string{"-v"}
	w.config.Env = map[string]string{"LOG": "debug", "A": "x=y"}
	w.config.Workdir, w.config.User = "/app", "1000:1000"
	w.config.Labels = map[string]string{"team": "shop"}
	w.config.Ports = []string{"8080", "53/udp"}
	w.config.Platforms = []string{"linux/arm/v7"}
	out := w.apply()
	f, err := w.imageOf("1.0.1", "linux/arm/v7").ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(f.OS, f.Architecture, f.Variant, f.Config.Entrypoint, f.Config.Cmd, f.Config.Env, f.Config.WorkingDir, f.Config.User, f.Config.Labels, f.Config.ExposedPorts)
	want := fmt.Sprint("linux", "arm", "v7", []string{"/app/a"}, []string{"-v"}, []string{"A=x=y", "LOG=debug"}, "/app", "1000:1000",
		map[string]string{"team": "shop", registry.AnnotationKey: out.Key}, map[string]struct{}{"8080/tcp": {}, "53/udp": {}})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m, err := w.index("1.0.1").IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if a := m.Annotations; a[registry.AnnotationKey] != out.Key || a[registry.AnnotationTag] != "1.0.1" || a[registry.AnnotationRevision] != "c1" ||
		a[registry.AnnotationCreated] != "2026-01-01T00:00:00Z" {
		t.Errorf("annotations %v", a)
	}
	if err := validate.Index(w.index("1.0.1")); err != nil {
		t.Error(err)
	}
}

// pushBase pushes a base image with a random layer for each platform and returns its reference.
func (w *world) pushBase(mediaType types.MediaType, platforms ...string) string {
	w.t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		layer, err := random.Layer(128, types.OCILayer)
		if err != nil {
			w.t.Fatal(err)
		}
		platform, _ := v1.ParsePlatform(p)
		img, err := mutate.Append(mutate.MediaType(empty.Image, mediaType), mutate.Addendum{Layer: layer})
		if err != nil {
			w.t.Fatal(err)
		}
		img, err = mutate.ConfigFile(img, &v1.ConfigFile{
			OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
			RootFS: mustConfig(w.t, img).RootFS,
			Config: v1.Config{Env: []string{"PATH=/bin", "LOG=info"}, Cmd: []string{"sh"}, User: "root"},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	ref := w.repo.Registry.Repo("base").Tag("1")
	if err := remote.WriteIndex(ref, index); err != nil {
		w.t.Fatal(err)
	}
	return ref.Name()
}

func mustConfig(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOnABaseEachPlatformGetsItsOwn(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2} {
		w := newWorld(t, map[string]string{"main": "1"})
		w.config.Base = w.pushBase(mediaType, "linux/amd64", "linux/arm64/v8", "linux/s390x")
		w.config.To, w.config.Entrypoint = "/usr/local/bin/app", []string{"/usr/local/bin/app/main"}
		w.config.Env = map[string]string{"LOG": "debug"}
		w.apply()
		amd, arm := w.imageOf("1.0.1", "linux/amd64"), w.imageOf("1.0.1", "linux/arm64")
		a, _ := amd.Layers()
		b, _ := arm.Layers()
		if len(a) != 2 || len(b) != 2 {
			t.Fatalf("%d and %d layers", len(a), len(b))
		}
		baseA, _ := a[0].Digest()
		baseB, _ := b[0].Digest()
		ownA, _ := a[1].Digest()
		ownB, _ := b[1].Digest()
		if baseA == baseB || ownA != ownB {
			t.Errorf("the base's layers are the same, or the own ones are not")
		}
		f := mustConfig(t, amd)
		if got := fmt.Sprint(f.Config.Env, f.Config.Cmd, f.Config.User); got != "[PATH=/bin LOG=debug] []root" {
			t.Errorf("settings over the base's: %s", got)
		}
		if got := mustTypes(t, amd); got != mediaType {
			t.Errorf("an image of type %s on a base of type %s", got, mediaType)
		}
		if err := validate.Index(w.index("1.0.1")); err != nil {
			t.Error(err)
		}
		// Folders that bases have and that may be links there are not replaced.
		if text := entriesOf(t, a[1]); text != "usr/local/bin/app/ usr/local/bin/app/main" {
			t.Errorf("entries: %s", text)
		}
	}
}

func mustTypes(t *testing.T, img v1.Image) types.MediaType {
	t.Helper()
	m, err := img.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func entriesOf(t *testing.T, l v1.Layer) string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var names []string
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err != nil {
			return strings.Join(names, " ")
		}
		names = append(names, h.Name)
	}
}

func TestAMovedBaseIsBuiltAgainAndAReviewedOneIsPinned(t *testing.T) {
	w := newWorld(t, map[string]string{"main": "1"})
	w.config.Base = w.pushBase(types.OCIManifestSchema1, "linux/amd64", "linux/arm64")
	w.apply()
	w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
	w.pushBase(types.OCIManifestSchema1, "linux/amd64", "linux/arm64")
	p := w.plan()
	if p.Action != sdk.ActionBuild || len(p.Reasons) != 1 || !strings.Contains(p.Reasons[0], "the base image "+w.config.Base+" changed from sha256:") {
		t.Fatalf("%s %q", p.Action, p.Reasons)
	}
	reviewed := build.Decode(p.Private, format).Bases[w.config.Base]

	w.pushBase(types.OCIManifestSchema1, "linux/amd64", "linux/arm64")
	again, err := builder{}.Plan(w.ctx(), planRequest{Config: w.config, Prior: w.prior, Private: p.Private})
	if err != nil || again.Outputs.Key != p.Outputs.Key {
		t.Errorf("planned again at apply: %v, %v", again.Outputs.Key, err)
	}
	if _, err := w.tryApply(p); err != nil {
		t.Fatal(err)
	}
	base, err := remote.Index(w.repo.Registry.Repo("base").Digest(reviewed))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := base.IndexManifest()
	img, _ := base.Image(m.Manifests[0].Digest)
	layers, _ := img.Layers()
	want, _ := layers[0].Digest()
	got, _ := w.imageOf("1.0.2", "linux/amd64").Layers()
	if d, _ := got[0].Digest(); d != want {
		t.Errorf("built on %s, reviewed was %s", d, want)
	}
}

func TestBasesThatDoNotFit(t *testing.T) {
	w := newWorld(t, map[string]string{"main": "1"})
	w.config.Base = w.pushBase(types.OCIManifestSchema1, "linux/amd64", "linux/arm/v6")
	p := w.plan()
	_, err := w.tryApply(p)
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "oci.base_platform" || !strings.Contains(err.Error(), "does not support linux/arm64") || !strings.Contains(err.Error(), "linux/arm/v6") {
		t.Errorf("%v", err)
	}
	w.config.Base = w.repo.Registry.Repo("nowhere").Tag("1").Name()
	_, err = w.tryPlan()
	if !errors.As(err, &e) || e.Code != "registry.not_found" || !slices.Equal(e.Path, sdk.At("base")) {
		t.Errorf("%v", err)
	}
}

func TestSourcesThatCannotBePacked(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		says   string
		path   sdk.Path
	}{
		"no such context":     {func(c *Config) { c.Context = "nowhere" }, "not a folder of the source", sdk.At("context")},
		"triggers of nothing": {func(c *Config) { c.Triggers = []string{"*.go"} }, "no file matches the triggers", sdk.At("triggers")},
		"a layer of nothing":  {func(c *Config) { c.Layers = []Layer{{From: "*.go", To: "/"}} }, `no file matches "*.go"`, sdk.At("layer").Index(0).Attribute("from")},
		"a strip that is not there": {func(c *Config) { c.Layers = []Layer{{From: "main", To: "/", Strip: "dist"}} },
			`main is not in the folder "dist" of strip`, sdk.At("layer").Index(0).Attribute("strip")},
		"a whiteout": {func(c *Config) { c.Layers = []Layer{{From: "etc/*", To: "/"}} }, "deletes a file of the base", sdk.At("layer").Index(0).Attribute("from")},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, map[string]string{"main": "1", "etc/.wh.passwd": "x"})
			tt.change(&w.config)
			_, err := w.tryPlan()
			var e *sdk.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.says) || !slices.Equal(e.Path, tt.path) {
				t.Errorf("%v at %v", err, e)
			}
		})
	}
}

func TestOfVeryManyFilesAPlanKeepsOneHashAFolder(t *testing.T) {
	files := map[string]string{}
	for i := range build.MaxFiles + 1 {
		files[fmt.Sprintf("d%d/f%d", i%50, i)] = "x"
	}
	w := newWorld(t, files)
	w.apply()
	w.write(map[string]string{"d7/f7": "y"})
	w.config.Tag = "1.0.2"
	p := w.plan()
	if !slices.Equal(p.Reasons, []string{"files changed in d7/"}) {
		t.Errorf("%q", p.Reasons)
	}
	if len(p.Private) > 10_000 {
		t.Errorf("the plan keeps %d bytes", len(p.Private))
	}
}
