package install

import (
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is read as a source names a repository whose folder in a mirror, and whose file in the cache, lie where they should.
func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"oci://registry.example.com/davit/telegram:1.2.0", "oci://127.0.0.1:5000/a/../b", "oci://x.y/a@" + digestOf(nil), "oci://[::1]:5000/a/b", "oci://a.b/c:../d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		s, err := ParseSource(source)
		if err != nil {
			return
		}
		if at := filepath.FromSlash(inMirror(s.Repository)); !filepath.IsLocal(at) || filepath.Clean(at) != at {
			t.Errorf("%q is at %q in a mirror", source, at)
		}
		if name := fileName(s.Repository, machine); name != filepath.Base(name) || !filepath.IsLocal(name) || strings.HasPrefix(name, ".") {
			t.Errorf("%q is called %q in the cache", source, name)
		}
		if s.Tag != "" && (!filepath.IsLocal(s.Tag) || strings.ContainsAny(s.Tag, `/\`)) {
			t.Errorf("%q has the tag %q", source, s.Tag)
		}
	})
}

// Whatever is read as an index has platforms and claims that are plain names.
func FuzzReadIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":3,"digest":"` +
		digestOf(nil) + `","platform":{"architecture":"arm","os":"linux","variant":"v7"}}],"annotations":{"org.opencontainers.image.version":"1.0.0","sh.davit.plugin.types":"source.x image.y"}}`))
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"platform":{"architecture":"../..","os":"linux"}}]}`))
	f.Fuzz(func(t *testing.T, index []byte) {
		r, err := readIndex(index)
		if err != nil {
			return
		}
		for _, p := range r.platforms() {
			if again, err := ParsePlatform(p); err != nil || again != p || !rePlain().MatchString(platformFolder(p)) {
				t.Errorf("the platform %q is %q, %v", p, again, err)
			}
		}
		for _, text := range append([]string{r.Claims.Name, r.Claims.Version}, r.Claims.Types...) {
			if text != "" && !rePlain().MatchString(text) {
				t.Errorf("it claims %q", text)
			}
		}
	})
}
