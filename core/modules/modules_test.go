package modules

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/go-version"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/sdk/tree"
)

func TestParse(t *testing.T) {
	for source, want := range map[string]struct {
		p      Package
		folder string
	}{
		"git::https://git.example.com/acme/m.git":                 {Package{Source: "git::https://git.example.com/acme/m.git", Type: "git", Where: "https://git.example.com/acme/m.git"}, ""},
		"git::https://git.example.com/acme/m.git//a/b?ref=v1.2.0": {Package{Source: "git::https://git.example.com/acme/m.git?ref=v1.2.0", Type: "git", Where: "https://git.example.com/acme/m.git", Ref: "v1.2.0"}, "a/b"},
		"git::ssh://git@git.example.com/acme/m.git//a":            {Package{Source: "git::ssh://git@git.example.com/acme/m.git", Type: "git", Where: "ssh://git@git.example.com/acme/m.git"}, "a"},
		"git::git@git.example.com:acme/m.git//a?ref=main":         {Package{Source: "git::git@git.example.com:acme/m.git?ref=main", Type: "git", Where: "git@git.example.com:acme/m.git", Ref: "main"}, "a"},
		"git::../repo": {Package{Source: "git::../repo", Type: "git", Where: "../repo"}, ""},
		"oci://registry.example.com/acme/web:1.0.0":                  {Package{Source: "oci://registry.example.com/acme/web:1.0.0", Type: "oci", Where: "registry.example.com/acme/web", Tag: "1.0.0"}, ""},
		"oci://127.0.0.1:5000/acme/web//deep":                        {Package{Source: "oci://127.0.0.1:5000/acme/web", Type: "oci", Where: "127.0.0.1:5000/acme/web"}, "deep"},
		"oci://127.0.0.1:5000/acme/web:1@sha256:" + sha("a") + "//x": {Package{Source: "oci://127.0.0.1:5000/acme/web:1@sha256:" + sha("a"), Type: "oci", Where: "127.0.0.1:5000/acme/web", Digest: "sha256:" + sha("a")}, "x"},
	} {
		p, folder, err := Parse(source)
		if err != nil || p != want.p || folder != want.folder {
			t.Errorf("%s:\n%+v %q %v, want\n%+v %q", source, p, folder, err, want.p, want.folder)
		}
	}
	for source, want := range map[string]string{
		"https://git.example.com/m.git":        `did you mean "git::https://git.example.com/m.git"?`,
		"github.com/acme/m":                    `did you mean "git::https://github.com/acme/m"?`,
		"modules/web":                          `did you mean "./modules/web"?`,
		"/abs":                                 "a module's source is a path that begins with ./",
		"git::https://git.example.com/m?r=1":   `"r" is not known`,
		"git::https://u:p@git.example.com/m":   "use the environment variable",
		"git::https://git.example.com/m//../x": "leads out of the fetched files",
		"git::":                                "does not name a repository",
		"oci://web":                            "does not name a repository",
	} {
		if _, _, err := Parse(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}

func sha(c string) string { return strings.Repeat(c, 64) }

// A constraint means the same to the source that follows it.
func TestRange(t *testing.T) {
	versions := []string{"0.9.0", "1.0.0", "1.0.5", "1.1.0", "1.2.0", "1.2.3", "1.2.9", "1.3.0", "1.10.0", "2.0.0", "2.1.0", "3.0.0"}
	for _, c := range []string{"~> 1", "~> 1.2", "~> 1.2.3", "~>1.0", ">= 1.1, < 2", "1.2.3", "= 1.2.3", "!= 1.2.3", "~> 1.0, != 1.1.0", "> 1.2.3", "<= 1.2.3"} {
		theirs, err := version.NewConstraint(c)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Range(c)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := semver.NewConstraint(text)
		if err != nil {
			t.Fatalf("%s is %s: %v", c, text, err)
		}
		for _, v := range versions {
			if got, want := ours.Check(semver.MustParse(v)), theirs.Check(version.Must(version.NewVersion(v))); got != want {
				t.Errorf("%s (%s) of %s is %v, want %v", c, text, v, got, want)
			}
		}
	}
	if _, err := Range("latest"); err == nil {
		t.Error("latest is taken for a constraint")
	}
}

// write puts files into a cache.
func write(t *testing.T, cache string, files map[string]string) string {
	t.Helper()
	var entries []tree.Entry
	for name, text := range files {
		entries = append(entries, tree.Entry{Path: name, Mode: 0o644, Size: int64(len(text)), Digest: "test:" + text})
	}
	out, err := tree.Write(context.Background(), cache, entries, func(e tree.Entry) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[e.Path])), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Digest
}

func TestFind(t *testing.T) {
	cache := t.TempDir()
	one := write(t, cache, map[string]string{"a/main.hcl": "1", "b/main.hcl": "2"})
	other := write(t, cache, map[string]string{"a/main.hcl": "3"})
	const source = "git::https://git.example.com/m.git?ref=v1"
	fetched := 0
	got := one
	f := &Finder{CacheDir: cache, Fetch: func(Package, string, *Locked) (Locked, error) {
		fetched++
		return Locked{Resolved: "0123456789abcdef0123", Tree: got}, nil
	}}
	a, err := f.Find(config.Location{Dir: "/stack"}, "git::https://git.example.com/m.git//a?ref=v1", "")
	if err != nil || a.Name != "git.example.com/m.git@0123456789ab/a" {
		t.Fatalf("%+v %v", a, err)
	}
	b, err := f.Find(a, "../b", "")
	if err != nil || b.Name != "git.example.com/m.git@0123456789ab/b" || fetched != 1 {
		t.Fatalf("%+v %v, fetched %d times", b, err, fetched)
	}
	if text, err := os.ReadFile(filepath.Join(b.Dir, "main.hcl")); err != nil || string(text) != "2" {
		t.Errorf("%q %v", text, err)
	}
	for _, out := range []string{"../..", "../../../x", "./../../" + filepath.Base(filepath.Dir(a.Root))} {
		if l, err := f.Find(a, out, ""); err == nil {
			t.Errorf("%s leads to %+v", out, l)
		}
	}
	if l := f.Used(); len(l) != 1 || l[0].Source != source || l[0].Tree != one {
		t.Errorf("%+v", l)
	}

	// With the lock and the cache nothing is fetched; with the lock alone, exactly that.
	locked := &Finder{CacheDir: cache, Locked: f.Used()}
	if again, err := locked.Find(config.Location{}, "git::https://git.example.com/m.git//a?ref=v1", ""); err != nil || again != a {
		t.Errorf("%+v %v", again, err)
	}
	empty := &Finder{CacheDir: t.TempDir(), Locked: f.Used()}
	if _, err := empty.Find(config.Location{}, source, ""); err == nil || !strings.Contains(err.Error(), "run davit init") {
		t.Errorf("%v", err)
	}
	got = other
	empty.Fetch = f.Fetch
	if _, err := empty.Find(config.Location{}, source, ""); err == nil || !strings.Contains(err.Error(), "has changed: its files have the digest") {
		t.Errorf("%v", err)
	}
	failing := &Finder{CacheDir: cache, Fetch: func(Package, string, *Locked) (Locked, error) { return Locked{}, errors.New("no network") }}
	if _, err := failing.Find(config.Location{}, source, ""); err == nil || len(failing.Used()) != 0 {
		t.Errorf("%v %v", err, failing.Used())
	}
	for source, version := range map[string]string{"./x": "1.0", source: "1.0"} {
		if _, err := f.Find(config.Location{}, source, version); err == nil {
			t.Errorf("%s takes version %s", source, version)
		}
	}
}
