package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// bomb KIND PATH makes what is too large to be written into a script.
func bomb(ts *testscript.TestScript, _ bool, args []string) {
	make, known := map[string]func(*testscript.TestScript, string){
		"nested-json": func(ts *testscript.TestScript, path string) { writeFile(ts, path, nested(9000)) },
		"nested-yaml": func(ts *testscript.TestScript, path string) {
			writeFile(ts, path, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: "+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+"\n")
		},
		"aliases":   func(ts *testscript.TestScript, path string) { writeFile(ts, path, aliases()) },
		"subcharts": subcharts,
		"files":     manyFiles,
		"git-tree":  gitTree,
	}[args[0]]
	if !known {
		ts.Fatalf("unknown bomb %q", args[0])
	}
	make(ts, args[1])
}

func writeFile(ts *testscript.TestScript, path, text string) {
	file := ts.MkAbs(path)
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o750))
	ts.Check(os.WriteFile(file, []byte(text), 0o600))
}

func nested(depth int) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"x":` + strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) + "}"
}

// aliases is a small text of ten lists, each of nine times the one before.
func aliases() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	return b.String()
}

// subcharts writes a chart with 40 small packed ones, which unpack to 100 MB each.
func subcharts(ts *testscript.TestScript, dir string) {
	writeFile(ts, filepath.Join(dir, "Chart.yaml"), "apiVersion: v2\nname: it\nversion: 1.0.0\n")
	writeFile(ts, filepath.Join(dir, "templates/a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	big := strings.Repeat("x", 4<<20)
	for i := range 40 {
		var packed bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		w := tar.NewWriter(zip)
		sub := fmt.Sprintf("sub%d", i)
		add := func(name, text string) {
			ts.Check(w.WriteHeader(&tar.Header{Name: sub + "/" + name, Mode: 0o644, Size: int64(len(text))}))
			_, err := w.Write([]byte(text))
			ts.Check(err)
		}
		add("Chart.yaml", "apiVersion: v2\nname: "+sub+"\nversion: 1.0.0\n")
		for n := range 24 {
			add(fmt.Sprintf("files/%d", n), big)
		}
		ts.Check(w.Close())
		ts.Check(zip.Close())
		writeFile(ts, filepath.Join(dir, "charts", sub+".tgz"), packed.String())
	}
}

// manyFiles writes more manifests than an application may have.
func manyFiles(ts *testscript.TestScript, dir string) {
	ts.Check(os.MkdirAll(ts.MkAbs(dir), 0o750))
	for i := range 20_010 {
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join(dir, fmt.Sprintf("%d.yaml", i))), fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%d}\n", i), 0o600))
	}
}

// gitTree makes a repository whose tree has a hundred million paths: eight folders of ten, each the same ten times.
func gitTree(ts *testscript.TestScript, repo string) {
	dir := ts.MkAbs(repo)
	git := func(input string, args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		ts.Check(err)
		return strings.TrimSpace(string(out))
	}
	ts.Check(os.MkdirAll(dir, 0o750))
	git("", "init", "-q")
	at, kind := git("x\n", "hash-object", "-w", "--stdin"), "100644 blob"
	for range 8 {
		var entries strings.Builder
		for i := range 10 {
			fmt.Fprintf(&entries, "%s %s\td%d\n", kind, at, i)
		}
		at, kind = git(entries.String(), "mktree"), "040000 tree"
	}
	cmd := exec.Command("git", "-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit-tree", at, "-m", "bomb")
	commit, err := cmd.Output()
	ts.Check(err)
	git("", "update-ref", "refs/heads/main", strings.TrimSpace(string(commit)))
}

// push-layer REFERENCE FILES SIZE pushes an artifact whose layer has that many files of that size.
func pushLayer(ts *testscript.TestScript, _ bool, args []string) {
	var files, size int
	if _, err := fmt.Sscan(args[1]+" "+args[2], &files, &size); err != nil {
		ts.Fatalf("usage: push-layer REFERENCE FILES SIZE")
	}
	var packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	w := tar.NewWriter(zip)
	text := bytes.Repeat([]byte("x"), size)
	for i := range files {
		ts.Check(w.WriteHeader(&tar.Header{Name: fmt.Sprintf("app/%d", i), Mode: 0o644, Size: int64(size)}))
		_, err := w.Write(text)
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(zip.Close())
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(packed.Bytes(), types.OCILayer))
	ts.Check(err)
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}
