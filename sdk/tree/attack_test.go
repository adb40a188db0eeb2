package tree

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

// What is refused when a tree is written, and nothing of it is on disk then.
func TestWriteRefuses(t *testing.T) {
	file := func(path string) Entry { return Entry{Path: path, Mode: 0o644, Digest: "d"} }
	link := func(path, target string) Entry {
		return Entry{Path: path, Mode: fs.ModeSymlink, Digest: "d" + target, Link: target}
	}
	for what, c := range map[string]struct {
		entries []Entry
		want    string
	}{
		"absolute":                         {[]Entry{file("/etc/passwd")}, "is not a valid path in the source"},
		"parent":                           {[]Entry{file("../x")}, "is not a valid path in the source"},
		"parent in the middle":             {[]Entry{file("a/../../x")}, "is not a valid path in the source"},
		"the tree itself":                  {[]Entry{file(".")}, "is not a valid path in the source"},
		"the folder above":                 {[]Entry{file("..")}, "is not a valid path in the source"},
		"no name":                          {[]Entry{file("")}, "is not a valid path in the source"},
		"empty component":                  {[]Entry{file("a//b")}, "is not a valid path in the source"},
		"slash at the end":                 {[]Entry{file("a/")}, "is not a valid path in the source"},
		"dot component":                    {[]Entry{file("a/./b")}, "is not a valid path in the source"},
		"zero byte":                        {[]Entry{file("a\x00b")}, "is not a valid path in the source"},
		"twice":                            {[]Entry{file("a"), file("a")}, "occurs twice"},
		"below a file":                     {[]Entry{file("a"), file("a/b")}, "which is not a folder"},
		"below a link":                     {[]Entry{link("a", "b"), file("a/x"), file("b/y")}, "which is not a folder"},
		"far below a link":                 {[]Entry{link("a", "b"), file("a/x/y/z"), file("b/y")}, "which is not a folder"},
		"device":                           {[]Entry{{Path: "a", Mode: fs.ModeDevice | 0o644}}, "neither a file nor a link"},
		"pipe":                             {[]Entry{{Path: "a", Mode: fs.ModeNamedPipe | 0o644}}, "neither a file nor a link"},
		"folder":                           {[]Entry{{Path: "a", Mode: fs.ModeDir | 0o755}}, "neither a file nor a link"},
		"set-user-id":                      {[]Entry{{Path: "a", Mode: fs.ModeSetuid | 0o755}}, "neither a file nor a link"},
		"link to an absolute path":         {[]Entry{link("a", "/etc/passwd")}, "leaves the source"},
		"link to nothing":                  {[]Entry{link("a", "")}, "leaves the source"},
		"link above":                       {[]Entry{link("a", "../x")}, "leaves the source"},
		"link above from a folder":         {[]Entry{link("d/e/a", "../../../x")}, "leaves the source"},
		"link above and back":              {[]Entry{link("a", "../files/b"), file("b")}, "leaves the source"},
		"link through a folder":            {[]Entry{link("a", "d/../../x"), file("d/y")}, "leaves the source"},
		"link through a link":              {[]Entry{link("deep", "d/e"), file("d/e/f"), link("a", "deep/../../../x")}, "leaves the source"},
		"link through a link's way up":     {[]Entry{link("d/up", ".."), link("a", "d/up/../x")}, "leaves the source"},
		"chain that ends at a bad link":    {[]Entry{link("a", "b"), link("b", "c"), link("c", "../x")}, "leaves the source"},
		"chain that ends at the root":      {[]Entry{link("a", "d/b"), link("d/b", "/")}, "leaves the source"},
		"link through what is not there":   {[]Entry{link("a", "none/../../x")}, "leaves the source"},
		"circle":                           {[]Entry{link("a", "b"), link("b", "a")}, "leads in a circle"},
		"circle that grows":                {[]Entry{link("a", "a/x")}, "leads in a circle"},
		"link that a short cut would hide": {[]Entry{link("x/y", "z"), link("x/z", "../.."), file("w")}, "leaves the source"},
	} {
		cache := t.TempDir()
		_, err := Write(t.Context(), cache, c.entries, func(Entry) (io.ReadCloser, error) { return nil, errors.New("was read") })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "*")); len(left) > 0 {
			t.Errorf("%s: in the cache there are %v", what, left)
		}
	}
}

// What looks odd and is fine.
func TestWriteTakes(t *testing.T) {
	for what, c := range map[string]content{
		"link to a neighbour":              {"a": "-> b", "b": "x"},
		"link to nothing in the tree":      {"a": "-> none/yet"},
		"link up and down in the tree":     {"d/e/a": "-> ../../f", "f": "x"},
		"link to the tree itself":          {"d/a": "-> .."},
		"chain of links to folders":        {"a": "-> b/c", "b": "-> d", "d/c": "x"},
		"names that differ in case":        {"a": "1", "A": "2"},
		"names with spaces and line ends":  {"a b\nc": "1", "-rf": "2", "...": "3", "..a": "4"},
		"names with backslashes and dots":  {`a\..\b`: "1"},
		"a name that begins like a folder": {"a.b": "1", "a/b": "2", "a-b": "3"},
		"no files":                         {},
	} {
		tr, err := Open(c.write(t, t.TempDir()))
		if err != nil || len(tr.Entries()) != len(c) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Links that somebody puts into the cache later, or a folder of another plugin's has, are not followed out.
func TestReadingStaysInside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	mustWrite(t, secret, "hunter2")
	written := shop.write(t, t.TempDir())
	tr, err := Open(written)
	if err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 20)
	for name, target := range map[string]string{"abs": secret, "rel": up + secret, "dir": filepath.Dir(secret)} {
		if err := os.Symlink(target, filepath.Join(written.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	api, err := tr.Sub("apps/api")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"abs", "rel", "dir/secret", "../manifest.json", "../../../" + secret, up + secret, secret} {
		if b, err := tr.ReadFile(name); err == nil {
			t.Errorf("%s reads %q", name, b)
		}
		if b, err := fs.ReadFile(tr.FS(), name); err == nil {
			t.Errorf("%s in the file system reads %q", name, b)
		}
		if b, err := api.ReadFile("../../" + name); err == nil {
			t.Errorf("%s from a part reads %q", name, b)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := func(make func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), "src")
		mustWrite(t, filepath.Join(dir, "ok"), "x")
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	forged := func(entries []Entry) sdk.Tree {
		dir := folder(func(dir string) error { return os.Mkdir(filepath.Join(dir, filesName), 0o755) })
		b, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(dir, manifestName), string(b))
		return sdk.Tree{Path: filepath.Join(dir, filesName), Digest: Digest(entries)}
	}
	other := shop.write(t, t.TempDir())
	other.Digest = "sha256:" + strings.Repeat("0", 64)
	for what, c := range map[string]struct {
		tree sdk.Tree
		want string
	}{
		"link out":                 {sdk.Tree{Path: folder(func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "l")) })}, "leaves the source"},
		"pipe":                     {sdk.Tree{Path: folder(func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "p"), 0o644) })}, "p is neither a file nor a link"},
		"nothing there":            {sdk.Tree{Path: "/nowhere/at/all"}, "opening the source's files"},
		"manifest of a path out":   {forged([]Entry{{Path: "../../../etc/passwd", Mode: 0o644, Digest: "d"}}), "is not a valid path in the source"},
		"manifest of a link out":   {forged([]Entry{{Path: "a", Mode: fs.ModeSymlink, Digest: "d", Link: "/etc"}}), "leaves the source"},
		"manifest of another tree": {other, "is of another tree"},
		"manifest that is no manifest": {sdk.Tree{Path: func() string {
			tr := forged(nil)
			mustWrite(t, filepath.Join(filepath.Dir(tr.Path), manifestName), "{")
			return tr.Path
		}()}, "is damaged; remove that folder"},
	} {
		if _, err := Open(c.tree); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}
