package install

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A registry that hands out other bytes than those of a digest gets nothing started, wherever it lies.
func TestRegistryThatLies(t *testing.T) {
	evil := []byte("#!telegram 1.2.0 application.telegram\n# evil\n")
	for what, lie := range map[string]struct {
		about func(w *world, l Locked) string // the end of a path
		with  func(w *world) []byte
		want  string
	}{
		"executable": {func(_ *world, l Locked) string { return l.Platforms[machine] }, func(*world) []byte { return evil }, "executable"},
		"executable of the same size": {func(_ *world, l Locked) string { return l.Platforms[machine] }, func(*world) []byte {
			return []byte(strings.Replace(program("1.2.0"), "t", "T", 1))
		}, "executable"},
		"executable that was cut": {func(_ *world, l Locked) string { return l.Platforms[machine] }, func(*world) []byte {
			return []byte(program("1.2.0")[:8])
		}, "executable"},
		"index": {func(_ *world, l Locked) string { return l.Digest }, func(w *world) []byte {
			c, err := Registries{}.Open(t.Context(), w.repo(), "9.0.0")
			w.check(err)
			return c.Index()
		}, "digest"},
	} {
		w := newWorld(t)
		w.push("1.2.0", both("1.2.0"))
		r := w.require("", "~> 1.0")
		l := w.install(r, nil)
		w.push("9.0.0", both("9.0.0"))
		w.here.Cache = Cache{t.TempDir()}
		w.lies[lie.about(w, l)] = lie.with(w)
		t.Log(what)
		w.refused(r, &l, lie.want)
	}

	// A manifest of another plugin under a digest of this one.
	w := newWorld(t)
	digest := w.push("1.2.0", both("1.2.0"))
	c, err := Registries{}.Open(t.Context(), w.repo(), digest)
	w.check(err)
	release, err := readIndex(c.Index())
	w.check(err)
	other, err := c.Manifest(t.Context(), "", release.manifests["linux/arm64"].Digest.String())
	w.check(err)
	w.lies[release.manifests[machine].Digest.String()] = other
	w.refused(w.require("", ""), nil, "digest")
}

// What davit plugin push would not have made is not taken for a plugin, and its names name no files.
func TestHostileArtifacts(t *testing.T) {
	good := made{platforms: []string{machine}, program: program("1.0.0"), config: ConfigType, layers: 1, title: "telegram"}
	for want, change := range map[string]func(*made){
		`"../../../../tmp/evil", which is not a plain file name`:                 func(m *made) { m.title = "../../../../tmp/evil" },
		`"/etc/passwd", which is not a plain file name`:                          func(m *made) { m.title = "/etc/passwd" },
		`"a\nb", which is not a plain file name`:                                 func(m *made) { m.title = "a\nb" },
		`"..", which is not a plain file name`:                                   func(m *made) { m.title = ".." },
		`an invalid annotation: "../1.0.0"`:                                      func(m *made) { m.annotations = map[string]string{annotationVersion: "../1.0.0"} },
		`an invalid annotation: "\x1b[31mred"`:                                   func(m *made) { m.annotations = map[string]string{annotationName: "\x1b[31mred"} },
		`an invalid annotation: "a/b"`:                                           func(m *made) { m.annotations = map[string]string{annotationTypes: "source.x a/b"} },
		"its index has version 7.0.0":                                            func(m *made) { m.annotations = map[string]string{annotationVersion: "7.0.0"} },
		"names linux/amd64 twice":                                                func(m *made) { m.platforms = []string{machine, machine} },
		"does not have exactly one executable":                                   func(m *made) { m.config = types.OCIConfigJSON },
		"not have exactly one executable":                                        func(m *made) { m.layers = 2 },
		"has no executable for linux/amd64, only for linux/riscv64, linux/s390x": func(m *made) { m.platforms = []string{"linux/s390x", "linux/riscv64"} },
		"its index has no platforms":                                             func(m *made) { m.platforms = nil },
	} {
		w := newWorld(t)
		m := good
		change(&m)
		w.pushMade("1.0.0", m)
		w.refused(w.require("", ""), nil, want)
	}
	w := newWorld(t)
	w.pushMade("1.0.0", good)
	w.install(w.require("", ""), nil)
}

// A plugin that is not what it was published as is refused when it says so itself.
func TestPluginThatSaysSomethingElse(t *testing.T) {
	claim := map[string]string{annotationVersion: "1.0.0", annotationName: "telegram", annotationTypes: "application.telegram"}
	for want, text := range map[string]string{
		`the version "0.9.0"`: program("0.9.0"),
		`the name "other"`:    "#!other 1.0.0 application.telegram\n",
		`the types ["application.telegram" "source.git"]`: "#!telegram 1.0.0 application.telegram source.git\n",
	} {
		w := newWorld(t)
		w.pushMade("1.0.0", made{platforms: []string{machine}, program: text, config: ConfigType, layers: 1, annotations: claim})
		if _, err := w.here.Install(t.Context(), w.require("", ""), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What was locked and is gone is not replaced by what has its name now.
func TestLockedAndGone(t *testing.T) {
	w := newWorld(t)
	w.push("1.2.0", both("1.2.0"))
	r := w.require("", "")
	l := w.install(r, nil)
	l.Digest = digestOf([]byte("what was there"))
	w.here.Cache = Cache{t.TempDir()}
	w.refused(r, &l, "is no longer in "+w.host()+"/davit/telegram, and version 1.2.0 is now sha256:")
	l.Version = "1.1.0"
	w.refused(r, &l, "/davit/telegram, which has no version 1.1.0")
}

// Something that is no plugin at all.
func TestNotAPlugin(t *testing.T) {
	w := newWorld(t)
	w.pushSignatures("sha256:1.0.0") // an image
	w.lies["/manifests/1.0.0"] = []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	w.refused(w.require(":1.0.0", ""), nil, "is not a plugin")
	w.lies["/manifests/1.0.0"] = []byte(`<html>`)
	w.refused(w.require(":1.0.0", ""), nil, "is not a plugin")
	if _, err := os.Stat(w.here.Cache.Dir + "/plugins/sha256"); !os.IsNotExist(err) {
		t.Error("something was kept")
	}
}
