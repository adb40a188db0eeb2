package install

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What is locked is the same on every machine, and gets every machine the same.
func TestLockedOnceForAllPlatforms(t *testing.T) {
	w := newWorld(t)
	digest := w.push("1.2.0", both("1.2.0"))
	w.push("1.3.0-rc.1", both("1.3.0-rc.1"))
	w.push("latest", both("1.2.0"))
	r := w.require("", "~> 1.0")
	l := w.install(r, nil)
	want := map[string]string{machine: digestOf([]byte(program("1.2.0"))), "linux/arm64": digestOf([]byte(program("1.2.0") + "# arm64\n"))}
	if l.Version != "1.2.0" || l.Digest != digest || l.Constraint != "~> 1.0" || !maps.Equal(l.Platforms, want) {
		t.Errorf("locked %+v, want the digest %s and %v", l, digest, want)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(w.starts[0])
	if err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	// A machine of another kind, later: nothing of the lock changes, and it gets its own executable.
	w.push("1.4.0", both("1.4.0"))
	other := w.here
	other.Cache, other.Platform = Cache{t.TempDir()}, "linux/arm64/v8"
	again, err := other.Install(t.Context(), r, &l)
	if err != nil || !maps.Equal(again.Platforms, l.Platforms) || again.Digest != l.Digest {
		t.Errorf("%+v %v", again, err)
	}
	if b, _ := os.ReadFile(w.starts[len(w.starts)-1]); !strings.HasSuffix(string(b), "# arm64\n") {
		t.Errorf("%q was started", b)
	}
	// And with -upgrade what there is now.
	w.here.Upgrade = true
	if l = w.install(r, &l); l.Version != "1.4.0" {
		t.Errorf("%+v", l)
	}
}

// Which tag a source and a constraint choose.
func TestVersions(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"0.9.0", "1.2.0", "1.10.0", "2.0.0", "2.1.0-beta.1"} {
		w.push(v, both(v))
	}
	w.push("v3.0.0", both("3.0.0"))
	w.push("20240101", both("1.2.0")) // dates and short versions move: they are not chosen
	w.push("9.9", both("1.2.0"))
	pinned := w.push("edge", both("2.2.0"))
	for _, c := range []struct{ rest, constraint, want string }{
		{"", "", "v3.0.0"}, {"", "~> 1.0", "1.10.0"}, {"", "< 1.10", "1.2.0"}, {"", "2.1.0-beta.1", "2.1.0-beta.1"}, {"", ">= 2.0, < 3", "2.0.0"},
		{":0.9.0", "", "0.9.0"}, {":edge", "", "2.2.0"}, {"@" + pinned, "", "2.2.0"}, {":v3.0.0", "", "v3.0.0"},
	} {
		if l := w.install(w.require(c.rest, c.constraint), nil); l.Version != c.want {
			t.Errorf("%q %q chose %s, want %s", c.rest, c.constraint, l.Version, c.want)
		}
	}
	for constraint, want := range map[string]string{"~> 7": "none of the 6 versions", "latest": `version "latest" is not a version constraint`} {
		w.refused(w.require("", constraint), nil, want)
	}
	w.refused(w.require(":1.2.0", "~> 1.0"), nil, "a version, and a tag or digest")
	w.refused(w.require(":1.2.1", ""), nil, "not found")
}

// What is here and locked needs nobody: the registry is away, and not even asked.
func TestNobodyIsAskedForWhatIsHere(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "ecdsa")
	w.sign(k, w.push("1.2.0", both("1.2.0")))
	r := w.require("", "~> 1.0")
	r.Key = k.key(t)
	l := w.install(r, nil)
	w.asked.Store(0)
	again := w.install(r, &l)
	if w.asked.Load() != 0 || again.Digest != l.Digest || len(w.starts) != 2 {
		t.Errorf("%d requests, %+v, started %v", w.asked.Load(), again, w.starts)
	}
	w.server.Close()
	w.install(r, &l)
	// Without the cache the registry is missed.
	w.here.Cache = Cache{t.TempDir()}
	w.refused(r, &l, "nothing answers at "+w.host())
}

// An interrupted or changed file in the cache is replaced by what is locked.
func TestChangedInTheCache(t *testing.T) {
	w := newWorld(t)
	w.push("1.2.0", both("1.2.0"))
	r := w.require("", "")
	l := w.install(r, nil)
	path := w.starts[0]
	for what, change := range map[string]func() error{
		"changed":    func() error { return os.WriteFile(path, []byte("#!evil 1.2.0\n"), 0o500) },
		"gone":       func() error { return nil },
		"writable":   func() error { return os.WriteFile(path, []byte(program("1.2.0")), 0o700) },
		"elsewhere":  func() error { return os.Symlink("/bin/sh", path) },
		"incomplete": func() error { return os.WriteFile(path, []byte(program("1.2.0")[:9]), 0o500) },
	} {
		w.check(os.Remove(path))
		w.check(change())
		w.install(r, &l)
		info, err := os.Lstat(path)
		w.check(err)
		if b, _ := os.ReadFile(path); string(b) != program("1.2.0") || info.Mode() != 0o500 {
			t.Errorf("%s: it is still %q, %s", what, b, info.Mode())
		}
	}
}

// A step back, and a tag that was moved, need a person's word.
func TestWhatIsLockedIsNotLeftUnasked(t *testing.T) {
	w := newWorld(t)
	w.push("1.1.0", both("1.1.0"))
	w.push("1.2.0", both("1.2.0"))
	l := w.install(w.require("", ""), nil)
	w.refused(w.require(":1.1.0", ""), &l, "it would go back from the locked version 1.2.0 to 1.1.0")
	w.refused(w.require("", "< 1.2"), &l, "it would go back from the locked version 1.2.0")
	local := Locked{Name: "telegram", Source: "./plugins/telegram", Version: "1.5.0", SHA256: strings.Repeat("a", 64)}
	w.refused(w.require("", ""), &local, "it would go back from the locked version 1.5.0")

	moved := map[string]string{machine: program("1.2.0") + "# other\n"}
	digest := w.push("1.2.0", moved)
	w.refused(w.require(":1.2.0", ""), &l, "version 1.2.0 has changed: its digest is "+digest)
	w.here.Cache = Cache{t.TempDir()}
	if same := w.install(w.require("", ""), &l); same.Digest != l.Digest {
		t.Errorf("the lock file says %s, and there is %s", l.Digest, same.Digest)
	}
	w.here.Upgrade = true
	if now := w.install(w.require("", ""), &l); now.Digest != digest || !contains(w.told, "its tag was moved from "+l.Digest) {
		t.Errorf("%+v\n%s", now, w.told)
	}
	if now := w.install(w.require(":1.1.0", ""), &l); now.Version != "1.1.0" {
		t.Errorf("%+v", now)
	}
}

// What the lock file says is checked before files are named after it.
func TestHostileLockFile(t *testing.T) {
	good := Locked{Name: "x", Source: "oci://registry.example.com/davit/x", Version: "1.0.0", Digest: digestOf(nil), Platforms: map[string]string{machine: digestOf(nil)}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Locked){
		"sha256":                  func(l *Locked) { l.SHA256 = "../../../bin/sh" },
		"digest":                  func(l *Locked) { l.Digest = "sha256:../../etc" },
		"checksum of linux/amd64": func(l *Locked) { l.Platforms = map[string]string{machine: "sha256:../x"} },
		"platform":                func(l *Locked) { l.Platforms = map[string]string{"../x/y": digestOf(nil)} },
		"neither":                 func(l *Locked) { l.Digest = "" },
	} {
		l := good
		change(&l)
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// One whose checksums are not those of its digest.
	w := newWorld(t)
	w.push("1.2.0", both("1.2.0"))
	r := w.require("", "")
	l := w.install(r, nil)
	l.Platforms = maps.Clone(l.Platforms)
	l.Platforms["linux/arm64"] = digestOf([]byte("evil"))
	w.here.Cache = Cache{t.TempDir()}
	w.refused(r, &l, "for its executable for linux/arm64")
}

func TestParseSource(t *testing.T) {
	digest := digestOf(nil)
	for source, want := range map[string][3]string{
		"oci://registry.example.com/davit/telegram":               {"registry.example.com/davit/telegram"},
		"oci://registry.example.com/davit/telegram:1.2.0":         {"registry.example.com/davit/telegram", "1.2.0"},
		"oci://127.0.0.1:5000/telegram@" + digest:                 {"127.0.0.1:5000/telegram", "", digest},
		"oci://localhost/davit/telegram:1.2.0@" + digest:          {"localhost/davit/telegram", "1.2.0", digest},
		"oci://registry.example.com:5000/a/b-c/d_e.f:v1.2.0-rc.1": {"registry.example.com:5000/a/b-c/d_e.f", "v1.2.0-rc.1"},
	} {
		s, err := ParseSource(source)
		if err != nil || [3]string{s.Repository.Name(), s.Tag, s.Digest} != want {
			t.Errorf("%s: %v %v", source, s, err)
		}
	}
	for _, source := range []string{
		"https://registry.example.com/x", "git::https://x.example.com/y", "oci://telegram", "oci://davit/telegram", "oci://registry.example.com/",
		"oci://registry.example.com/../../etc/passwd", "oci://registry.example.com/a//b", "oci://registry.example.com/a/./b", "oci://registry.example.com/A",
		"oci://registry.example.com/x:../y", "oci://registry.example.com/x@sha256:12", "oci:///x/y", "oci://../x", "oci://./x", "oci://.../x", "oci://a\\b.c/x", "oci://registry.example.com/x: 1",
	} {
		if s, err := ParseSource(source); err == nil {
			t.Errorf("%s is taken: %v", source, s)
		}
	}
	if _, err := ParseSource("oci://user:hunter2@registry.example.com/x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password: %v", err)
	}
}

// Which executable runs on a machine: its architecture, and the highest variant that it has.
func TestChoose(t *testing.T) {
	have := []string{"linux/386", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "darwin/arm64"}
	for machine, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/arm/v7": "linux/arm/v7", "linux/arm/v8": "linux/arm/v7", "linux/arm/v6": "linux/arm/v6",
		"linux/arm64": "linux/arm64", "darwin/arm64": "darwin/arm64",
		"linux/arm/v5": "", "linux/riscv64": "", "darwin/amd64": "", "windows/amd64": "",
	} {
		got, err := choose("x", "1.0.0", machine, slices.Clone(have))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s %v, want %q", machine, got, err, want)
		}
	}
	if got, _ := choose("x", "1.0.0", "linux/amd64", []string{"linux/386"}); got != "" {
		t.Errorf("a plugin for another architecture was chosen: %s", got)
	}
}

func TestFits(t *testing.T) {
	l := Locked{Source: "oci://r.example.com/x", Version: "1.2.0", Digest: digestOf(nil), Constraint: "~> 1.0", PublicKey: "sha256:aa"}
	for want, r := range map[string]Requirement{
		"":                                  {Source: l.Source, Constraint: "~> 1.2", Key: &Key{Fingerprint: "sha256:aa"}},
		"is locked from":                    {Source: l.Source + ":1.2.0"},
		"not verified with":                 {Source: l.Source, Key: &Key{Fingerprint: "sha256:bb"}},
		"locked at version 1.2.0, but the ": {Source: l.Source, Constraint: "~> 2.0"},
	} {
		err := l.Fits(r)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Several davits share a cache, and begin with an empty one at the same time.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	digest := w.push("1.2.0", both("1.2.0"))
	r := w.require("", "")
	i := w.here
	i.Tell = nil
	i.Describe = func(_ context.Context, _, path, _ string) (Description, error) {
		b, err := os.ReadFile(path)
		if string(b) != program("1.2.0") {
			t.Errorf("%q was started", b)
		}
		return Description{Name: "telegram", Version: "1.2.0", Types: []string{"application.telegram"}}, err
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if l, err := i.Install(t.Context(), r, nil); err != nil || l.Digest != digest {
				t.Errorf("%+v %v", l, err)
			}
		})
	}
	wg.Wait()
	if files := w.cached(); len(files) != 1 {
		t.Errorf("the cache has %v", files)
	}
}
