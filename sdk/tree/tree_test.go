package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// content is what a tree is made from: a file, a program (with "+x "), or a link (with "-> ").
type content map[string]string

func (c content) entries(t testing.TB) []Entry {
	t.Helper()
	var out []Entry
	for name, text := range c {
		e := Entry{Path: name, Mode: 0o644, Size: int64(len(text))}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			e.Mode, e.Link = fs.ModeSymlink, target
		} else if strings.HasPrefix(text, "+x ") {
			e.Mode = 0o755
		}
		var err error
		if e.Digest, err = hashOf(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func (c content) open(e Entry) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(c[e.Path])), nil
}

func (c content) write(t testing.TB, cache string) sdk.Tree {
	t.Helper()
	out, err := Write(t.Context(), cache, c.entries(t), c.open)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c content) opened(t testing.TB) *Tree {
	t.Helper()
	out, err := Open(c.write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func paths(entries []Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Path)
	}
	return strings.Join(out, " ")
}

var shop = content{
	"README": "hello", "apps/api/main.py": "print()", "apps/api/run.sh": "+x #!/bin/sh", "apps/api/tests/a/t.py": "pass",
	"apps/web/index.html": "<html>", "latest": "-> apps/api", "apps/api/readme": "-> ../../README",
}

func TestWrittenTreeIsReadBack(t *testing.T) {
	tr := shop.opened(t)
	if got, want := paths(tr.Entries()), "README apps/api/main.py apps/api/readme apps/api/run.sh apps/api/tests/a/t.py apps/web/index.html latest"; got != want {
		t.Errorf("entries are %s, want %s", got, want)
	}
	for name, want := range map[string]string{"README": "hello", "apps/api/readme": "hello", "latest/main.py": "print()"} {
		if b, err := tr.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s reads %q, %v", name, b, err)
		}
		if b, err := fs.ReadFile(tr.FS(), name); err != nil || string(b) != want {
			t.Errorf("%s in the file system reads %q, %v", name, b, err)
		}
	}
	if _, err := tr.ReadFile("apps/none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `the source has no file "apps/none"`) {
		t.Errorf("a missing file: %v", err)
	}
	var walked int
	if err := fs.WalkDir(tr.FS(), "apps", func(string, fs.DirEntry, error) error { walked++; return nil }); err != nil || walked != 10 {
		t.Errorf("a walk of apps met %d names, %v", walked, err)
	}
}

// Nobody can change a file of the cache by accident, and each content is kept once.
func TestFilesAreReadOnlyAndShared(t *testing.T) {
	cache := t.TempDir()
	first := content{"a": "same", "b": "same", "run": "+x same"}.write(t, cache)
	second := content{"c": "same", "d": "other"}.write(t, cache)
	stat := func(tr sdk.Tree, name string) os.FileInfo {
		info, err := os.Stat(filepath.Join(tr.Path, name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if !os.SameFile(stat(first, "a"), stat(first, "b")) || !os.SameFile(stat(first, "a"), stat(second, "c")) {
		t.Error("the same content is on disk twice")
	}
	for name, want := range map[string]fs.FileMode{"a": 0o444, "run": 0o555} {
		if got := stat(first, name).Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

// A commit that changes one file of thousands costs one file.
func TestOnlyNewContentIsRead(t *testing.T) {
	cache, c := t.TempDir(), content{}
	for i := range 500 {
		c["dir/"+strconv.Itoa(i)] = strconv.Itoa(i)
	}
	c.write(t, cache)
	c["dir/7"] = "changed"
	var read []string
	_, err := Write(t.Context(), cache, c.entries(t), func(e Entry) (io.ReadCloser, error) {
		read = append(read, e.Path)
		return c.open(e)
	})
	if err != nil || !slices.Equal(read, []string{"dir/7"}) {
		t.Errorf("read %v, %v", read, err)
	}
	none := func(e Entry) (io.ReadCloser, error) { return nil, errors.New("it was read again: " + e.Path) }
	if _, err := Write(t.Context(), cache, c.entries(t), none); err != nil {
		t.Errorf("the same tree again: %v", err)
	}
}

// A file can have 65,000 names on ext4, and a repository more empty files.
func TestMoreFilesOfOneContentThanLinks(t *testing.T) {
	cache, c := t.TempDir(), content{"first": "same"}
	first := c.write(t, cache)
	for i := 0; ; i++ {
		err := os.Link(filepath.Join(first.Path, "first"), filepath.Join(cache, strconv.Itoa(i)))
		if errors.Is(err, syscall.EMLINK) {
			break
		}
		if err != nil || i > 200_000 {
			t.Logf("this file system gives a file any number of names (%d, %v)", i, err)
			break
		}
	}
	second := content{"a": "same", "b": "same"}.write(t, cache)
	for _, name := range []string{"a", "b"} {
		if b, err := os.ReadFile(filepath.Join(second.Path, name)); err != nil || string(b) != "same" {
			t.Errorf("%s reads %q, %v", name, b, err)
		}
	}
}

func TestDigestIsOfPathsModesAndContents(t *testing.T) {
	of := func(c content) string { return Digest(c.entries(t)) }
	base := of(content{"a": "1", "b": "2"})
	for what, other := range map[string]content{
		"another name": {"a": "1", "c": "2"}, "another content": {"a": "1", "b": "3"}, "exchanged": {"a": "2", "b": "1"},
		"one less": {"a": "1"}, "in a folder": {"a": "1", "x/b": "2"}, "a link": {"a": "1", "b": "-> 2"}, "nothing": {},
	} {
		if of(other) == base {
			t.Errorf("%s has the same digest", what)
		}
	}
	e := content{"a": "1", "b": "2"}.entries(t)
	slices.Reverse(e)
	if Digest(e) != base {
		t.Error("the order of the entries changes the digest")
	}
	e[0].Mode = 0o755
	if Digest(e) == base {
		t.Error("the mode does not change the digest")
	}
	// A name with line ends cannot be taken for two entries.
	x := []Entry{{Path: "a", Mode: 0o644, Digest: "d"}, {Path: "b", Mode: 0o644, Digest: "d"}}
	y := []Entry{{Path: "a 644 d\n1:b", Mode: 0o644, Digest: "d"}}
	if Digest(x) == Digest(y) {
		t.Error("two trees have one digest")
	}
}

func TestSub(t *testing.T) {
	tr := shop.opened(t)
	api, err := tr.Sub("apps/api/")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := paths(api.Entries()), "main.py readme run.sh tests/a/t.py"; got != want {
		t.Errorf("entries are %s, want %s", got, want)
	}
	if b, err := api.ReadFile("readme"); err != nil || string(b) != "hello" {
		t.Errorf("a link out of the part, but in the tree, reads %q, %v", b, err)
	}
	tests, err := api.Sub("tests")
	if err != nil || paths(tests.Entries()) != "a/t.py" || tests.Path() != filepath.Join(tr.Path(), "apps", "api", "tests") {
		t.Errorf("a part of a part is %s in %s, %v", paths(tests.Entries()), tests.Path(), err)
	}
	for _, all := range []string{"", ".", "./"} {
		if s, err := tr.Sub(all); err != nil || len(s.Entries()) != len(shop) {
			t.Errorf("Sub(%q) is not all of it: %v", all, err)
		}
	}
	for dir, want := range map[string]string{
		"apps/apl":         `the source has no folder "apps/apl"; it has: apps/api, apps/web`,
		"README":           `"README" is a file in the source, not a folder`,
		"latest":           `"latest" is a link to apps/api in the source, not a folder`,
		"..":               `the path ".." leads out of the source`,
		"apps/../../other": `leads out of the source`,
		"/etc":             `leads out of the source`,
	} {
		if _, err := tr.Sub(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Sub(%q): %v, want %s", dir, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	tr := shop.opened(t)
	for _, c := range []struct {
		patterns           []string
		matched, unmatched string
	}{
		{[]string{"README"}, "README", ""},
		{[]string{"apps/api"}, "apps/api/main.py apps/api/readme apps/api/run.sh apps/api/tests/a/t.py", ""},
		{[]string{"./apps/api/"}, "apps/api/main.py apps/api/readme apps/api/run.sh apps/api/tests/a/t.py", ""},
		{[]string{"**/*.py"}, "apps/api/main.py apps/api/tests/a/t.py", ""},
		{[]string{"apps/*/*.{py,html}"}, "apps/api/main.py apps/web/index.html", ""},
		{[]string{"apps/*/tests/**", "READ*", "docs/**", "api"}, "README apps/api/tests/a/t.py", "docs/** api"},
		{nil, "", ""},
	} {
		matched, unmatched, err := tr.Match(c.patterns...)
		if err != nil || paths(matched) != c.matched || strings.Join(unmatched, " ") != c.unmatched {
			t.Errorf("Match(%q) = %s; unmatched %v, %v", c.patterns, paths(matched), unmatched, err)
		}
	}
	if all, _, err := tr.Match("."); err != nil || len(all) != len(shop) {
		t.Errorf(`"." matches %s, %v`, paths(all), err)
	}
	if _, _, err := tr.Match("a[b"); err == nil || !strings.Contains(err.Error(), `"a[b" is not a pattern`) {
		t.Errorf("a broken pattern: %v", err)
	}
}

// A source of another plugin may hand over a folder of its own.
func TestFolderWithoutManifestIsRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a/x": "1", "b": "2"} {
		mustWrite(t, filepath.Join(dir, name), text)
	}
	if err := os.Symlink("a/x", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tr, err := Open(sdk.Tree{Path: dir, Digest: "anything"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Digest(tr.Entries()), Digest(content{"a/x": "1", "b": "2", "link": "-> a/x"}.entriesOfScan(t)); got != want {
		t.Errorf("the digest of the folder is %s, of its content %s", got, want)
	}
	if b, err := tr.ReadFile("link"); err != nil || string(b) != "1" {
		t.Errorf("link reads %q, %v", b, err)
	}
}

// entriesOfScan are the entries with links hashed by their targets.
func (c content) entriesOfScan(t testing.TB) []Entry {
	t.Helper()
	entries := c.entries(t)
	for i, e := range entries {
		if e.Link != "" {
			entries[i].Digest, _ = hashOf(strings.NewReader(e.Link))
		}
	}
	return entries
}

func TestConcurrentWriters(t *testing.T) {
	cache, c := t.TempDir(), content{}
	for i := range 50 {
		c["d"+strconv.Itoa(i%5)+"/"+strconv.Itoa(i)] = strconv.Itoa(i % 7)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			tr, err := Write(t.Context(), cache, c.entries(t), c.open)
			if err != nil {
				t.Error(err)
				return
			}
			for name, text := range c {
				if b, err := os.ReadFile(filepath.Join(tr.Path, name)); err != nil || string(b) != text {
					t.Errorf("%s reads %q, %v", name, b, err)
				}
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Join(cache, "trees"))
	if err != nil || len(left) != 1 {
		t.Errorf("in the cache there are %v, %v", left, err)
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	for what, open := range map[string]func(Entry) (io.ReadCloser, error){
		"cannot be opened": func(Entry) (io.ReadCloser, error) { return nil, errors.New("no such blob") },
		"cut short":        func(Entry) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hel")), nil },
		"another content":  func(Entry) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("HELLO")), nil },
	} {
		cache, c := t.TempDir(), content{"dir/a": "hello"}
		if _, err := Write(t.Context(), cache, c.entries(t), open); err == nil || !strings.Contains(err.Error(), "dir/a: ") {
			t.Errorf("%s: %v", what, err)
		}
		if left, err := os.ReadDir(filepath.Join(cache, "trees")); err != nil || len(left) > 0 {
			t.Errorf("%s: in the cache there are %v, %v", what, left, err)
		}
		c.write(t, cache)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, t.TempDir(), shop.entries(t), shop.open); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled write: %v", err)
	}
}

// A tree that lost its manifest, or its manifest's end, is written anew.
func TestDamagedTreeIsReplaced(t *testing.T) {
	for what, damage := range map[string]func(manifest string) error{
		"no manifest": os.Remove,
		"empty":       func(m string) error { return os.Truncate(m, 0) },
		"half":        func(m string) error { return os.Truncate(m, 20) },
	} {
		cache := t.TempDir()
		tr := shop.write(t, cache)
		if err := damage(filepath.Join(filepath.Dir(tr.Path), manifestName)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(tr.Path, "README")); err != nil {
			t.Fatal(err)
		}
		if _, ok := Lookup(cache, tr.Digest); ok {
			t.Errorf("%s: it is found", what)
		}
		again, err := Open(shop.write(t, cache))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if b, err := again.ReadFile("README"); err != nil || string(b) != "hello" {
			t.Errorf("%s: README reads %q, %v", what, b, err)
		}
	}
}

func TestLookup(t *testing.T) {
	cache := t.TempDir()
	tr := shop.write(t, cache)
	if got, ok := Lookup(cache, tr.Digest); !ok || got != tr {
		t.Errorf("found %v, %v", got, ok)
	}
	for _, digest := range []string{"", "sha256:", "sha256:..", "sha256:" + strings.Repeat("0", 64), "git:" + strings.TrimPrefix(tr.Digest, "sha256:")} {
		if got, ok := Lookup(cache, digest); ok {
			t.Errorf("%q is found: %v", digest, got)
		}
	}
}

const envCache = "DAVIT_TEST_TREE_CACHE"

// TestMain serves as the writer that TestKilledWriter kills.
func TestMain(m *testing.M) {
	cache := os.Getenv(envCache)
	if cache == "" {
		os.Exit(m.Run())
	}
	c, entries := content{}, []Entry{}
	for i := range 100 {
		name := strconv.Itoa(i)
		c[name] = name
		digest, _ := hashOf(strings.NewReader(name))
		entries = append(entries, Entry{Path: name, Mode: 0o644, Digest: digest, Size: int64(len(name))})
	}
	n := 0
	_, err := Write(context.Background(), cache, entries, func(e Entry) (io.ReadCloser, error) {
		if n++; n == 50 {
			os.Stdout.WriteString("half\n")
			select {} // until it is killed
		}
		return c.open(e)
	})
	panic(err)
}

func TestKilledWriter(t *testing.T) {
	cache := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envCache+"="+cache)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	left, err := filepath.Glob(filepath.Join(cache, "trees", "*"))
	if err != nil || len(left) != 1 || !strings.HasPrefix(filepath.Base(left[0]), tmpPrefix) {
		t.Fatalf("a killed writer leaves %v, %v", left, err)
	}
	c := content{}
	for i := range 100 {
		c[strconv.Itoa(i)] = strconv.Itoa(i)
	}
	tr, err := Open(c.write(t, cache))
	if err != nil || len(tr.Entries()) != 100 {
		t.Fatal(err)
	}
	for name, text := range c {
		if b, err := tr.ReadFile(name); err != nil || string(b) != text {
			t.Errorf("%s reads %q, %v", name, b, err)
		}
	}
	// What it left goes away a day later.
	yesterday := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(left[0], yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	content{"x": "y"}.write(t, cache)
	if _, err := os.Stat(left[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the killed writer left is still there: %v", err)
	}
}

func mustWrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkWriteOneOf20000 is what a commit that changes one file of 20,000 costs.
func BenchmarkWriteOneOf20000(b *testing.B) {
	cache, c := b.TempDir(), content{}
	for i := range 20_000 {
		c["d"+strconv.Itoa(i%200)+"/"+strconv.Itoa(i)] = strconv.Itoa(i)
	}
	c.write(b, cache)
	for i := 0; b.Loop(); i++ {
		c["d7/7"] = "changed " + strconv.Itoa(i)
		c.write(b, cache)
	}
}
