package install

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mirror writes a mirror of what is required, and lets the machine take plugins from it, with an empty cache and no registry.
func (w *world) mirror(r Requirement, was *Locked) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "mirror")
	w.check(os.Mkdir(dir, 0o755))
	if _, err := w.here.WriteMirror(w.t.Context(), r, was, dir); err != nil {
		w.t.Fatal(err)
	}
	if len(w.starts) > 0 && was == nil {
		w.t.Errorf("%v was started", w.starts)
	}
	w.here.Origin, w.here.Cache = Mirror{dir}, Cache{w.t.TempDir()}
	w.asked.Store(0)
	return dir
}

// A mirror is a folder that people can read, and gives what the registry gives, without the registry.
func TestMirror(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "ecdsa")
	w.sign(k, w.push("1.2.0", both("1.2.0")))
	r := w.require("", "~> 1.0")
	r.Key = k.key(t)
	want := w.install(r, nil)
	w.push("1.3.0", both("1.3.0"))
	dir := w.mirror(r, &want)

	host := w.host()
	got := map[string]bool{}
	w.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			got[filepath.ToSlash(rel)] = true
		}
		return err
	}))
	at := host + "/davit/telegram/1.2.0/"
	files := map[string]bool{}
	for _, f := range []string{"index.json", "signatures.json", "linux_amd64/telegram", "linux_amd64/manifest.json", "linux_arm64/telegram", "linux_arm64/manifest.json"} {
		files[at+f] = true
	}
	if !maps.Equal(got, files) {
		t.Errorf("the mirror has %v", got)
	}
	for _, was := range []*Locked{nil, &want} {
		w.here.Cache = Cache{t.TempDir()}
		if l := w.install(r, was); l.Digest != want.Digest || !maps.Equal(l.Platforms, want.Platforms) || l.PublicKey != want.PublicKey {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
	if n := w.asked.Load(); n > 0 {
		t.Errorf("the registry was asked %d times", n)
	}
	w.refused(w.require(":1.3.0", ""), nil, host+"/davit/telegram:1.3.0 is not in the mirror")
	w.refused(w.require("", "~> 2.0"), nil, "none of the 1 versions")
	w.refused(Requirement{Name: "x", Source: Scheme + host + "/davit/other"}, nil, host+"/davit/other is not in the mirror")
	w.here.Origin = Mirror{filepath.Join(dir, "nowhere")}
	w.refused(w.require("", ""), nil, "the mirror that DAVIT_PLUGIN_MIRROR names cannot be read")
}

// Whatever was changed in a mirror is found before anything is started.
func TestMirrorThatWasChanged(t *testing.T) {
	evil := []byte("#!telegram 1.2.0 application.telegram\n# evil\n")
	for what, c := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"executable": {func(dir string) error { return os.WriteFile(dir+"/linux_amd64/telegram", evil, 0o755) }, "its executable was changed"},
		"index": {func(dir string) error {
			b, err := os.ReadFile(dir + "/index.json")
			if err != nil {
				return err
			}
			return os.WriteFile(dir+"/index.json", append(b, ' '), 0o644)
		}, "is no longer in"},
		"manifest": {func(dir string) error {
			b, err := os.ReadFile(dir + "/linux_arm64/manifest.json")
			if err != nil {
				return err
			}
			return os.WriteFile(dir+"/linux_amd64/manifest.json", b, 0o644)
		}, "its manifest was changed"},
		"signatures": {func(dir string) error { return os.WriteFile(dir+"/signatures.json", []byte("[]"), 0o644) }, "it is not signed"},
		"no JSON":    {func(dir string) error { return os.WriteFile(dir+"/signatures.json", []byte("x"), 0o644) }, "signatures.json in the mirror"},
		"platform":   {func(dir string) error { return os.RemoveAll(dir + "/linux_amd64") }, "/1.2.0/linux_amd64 is not in the mirror"},
		"link":       {func(dir string) error { return relink(t, dir+"/linux_amd64/telegram") }, "is neither a file nor a folder"},
		"folder that is a link": {func(dir string) error { return relink(t, dir+"/linux_amd64") },
			"is neither a file nor a folder"},
		"version that is a link": {func(dir string) error { return relink(t, dir) }, "is no longer in"},
		"host that is a link":    {func(dir string) error { return relink(t, filepath.Dir(filepath.Dir(filepath.Dir(dir)))) }, "is neither a file nor a folder"},
		"pipe": {func(dir string) error {
			if err := os.Remove(dir + "/linux_amd64/telegram"); err != nil {
				return err
			}
			return syscall.Mkfifo(dir+"/linux_amd64/telegram", 0o644)
		}, "is neither a file nor a folder"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			k := newKey(t, "ecdsa")
			w.sign(k, w.push("1.2.0", both("1.2.0")))
			r := w.require("", "")
			r.Key = k.key(t)
			l := w.install(r, nil)
			dir := w.mirror(r, &l)
			w.check(c.change(filepath.Join(dir, w.host(), "davit", "telegram", "1.2.0")))
			w.refused(r, &l, c.want)
		})
	}
}

// relink moves a file or folder away and leaves a link to it.
func relink(t *testing.T, path string) error {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(path, away); err != nil {
		return err
	}
	return os.Symlink(away, path)
}

// A mirror is written again without harm, and not over another release of the same version.
func TestMirrorAgain(t *testing.T) {
	w := newWorld(t)
	w.push("1.2.0", both("1.2.0"))
	r := w.require("", "")
	dir := w.mirror(r, nil)
	w.here.Origin = Registries{}
	if _, err := w.here.WriteMirror(t.Context(), r, nil, dir); err != nil {
		t.Error(err)
	}
	w.push("1.2.0", map[string]string{machine: program("1.2.0") + "# moved\n"})
	if _, err := w.here.WriteMirror(t.Context(), r, nil, dir); err == nil || !strings.Contains(err.Error(), "contains another release of version 1.2.0") {
		t.Error(err)
	}
	// A mirror of a mirror.
	w.here.Origin = Mirror{dir}
	other := t.TempDir()
	if _, err := w.here.WriteMirror(t.Context(), r, nil, other); err != nil {
		t.Error(err)
	}
	w.here.Origin = Mirror{other}
	w.install(r, nil)
}

// What a source names is found in a mirror as it is named.
func TestMirrorOfTagsAndDigests(t *testing.T) {
	for _, rest := range []string{":edge", ":v1.2.0", "", "@"} {
		w := newWorld(t)
		tag := "v1.2.0"
		if rest == ":edge" {
			tag = "edge"
		}
		digest := w.push(tag, both("1.2.0"))
		if rest == "@" {
			rest += digest
		}
		r := w.require(rest, "")
		w.mirror(r, nil)
		l := w.install(r, nil)
		if l.Digest != digest || w.asked.Load() > 0 {
			t.Errorf("%s: %+v, %d requests", rest, l, w.asked.Load())
		}
		w.here.Cache = Cache{t.TempDir()}
		if again := w.install(r, &l); again.Version != l.Version || again.Digest != digest {
			t.Errorf("%s: %+v, and was %+v", rest, again, l)
		}
	}
}
