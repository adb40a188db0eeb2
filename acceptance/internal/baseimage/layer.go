package baseimage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"time"
)

// dropped are the paths of packages that no container of the lab reads.
var dropped = regexp.MustCompile(`^(` +
	`usr/share/(initramfs-tools|doc|man|lintian|locale|bug|doc-base|gcc|applications|pixmaps|binfmts)(/|$)` +
	`|usr/lib/[^/]+/gconv/` +
	`|usr/lib/python3\.11/(idlelib|lib2to3|tkinter|turtledemo|ensurepip|pydoc_data|test|config-[^/]*|turtle\.py)(/|$)` +
	`|usr/lib/python3\.11/.*/tests?/` +
	`)`)

// epoch is the time of every file that does not come from a package.
var epoch = time.Unix(0, 0)

// rootfs writes a layer; what was written first stays.
type rootfs struct {
	tw       *tar.Writer
	seen     map[string]bool
	compiled string // folder that compilePython made
}

// writeLayer writes the file system of an image as an uncompressed tar file.
func writeLayer(ctx context.Context, file string, files map[string]string, packages, applets []string, compiled string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := rootfs{tw: tar.NewWriter(f), seen: map[string]bool{}, compiled: compiled}
	if err := r.skeleton(); err != nil {
		return err
	}
	for _, pkg := range packages {
		deb, ok := files[pkg]
		if !ok {
			return fmt.Errorf("package %s was not downloaded", pkg)
		}
		if err := r.unpack(ctx, deb); err != nil {
			return fmt.Errorf("unpack %s: %w", pkg, err)
		}
	}
	for _, applet := range applets {
		if err := r.link("bin/"+applet, "busybox"); err != nil {
			return err
		}
	}
	if r.seen["usr/bin/python3.11"] {
		for _, name := range []string{"usr/bin/python3", "usr/bin/python"} {
			if err := r.link(name, "python3.11"); err != nil {
				return err
			}
		}
	}
	return r.tw.Close()
}

func (r rootfs) skeleton() error {
	for _, dir := range []string{"bin", "etc", "root", "usr", "usr/bin", "usr/local", "usr/local/bin", "var", "var/tmp", "tmp"} {
		mode := int64(0o755)
		if path.Base(dir) == "tmp" {
			mode = 0o1777
		}
		if err := r.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode, ModTime: epoch}, nil); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	}
	for _, name := range []string{"etc/group", "etc/passwd"} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: epoch, Size: int64(len(files[name]))}
		if err := r.add(header, []byte(files[name])); err != nil {
			return err
		}
	}
	return nil
}

func (r rootfs) link(name, target string) error {
	return r.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: epoch}, nil)
}

func (r rootfs) add(header *tar.Header, content []byte) error {
	if r.seen[header.Name] {
		return nil
	}
	r.seen[header.Name] = true
	if err := r.tw.WriteHeader(header); err != nil {
		return err
	}
	_, err := r.tw.Write(content)
	return err
}

// unpack copies the files of a package.
func (r rootfs) unpack(ctx context.Context, deb string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb) //nolint:gosec // a file the lab downloaded
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	copyErr := r.copy(tar.NewReader(out))
	_, drainErr := io.Copy(io.Discard, out) // lets dpkg-deb end
	return errors.Join(copyErr, drainErr, cmd.Wait())
}

func (r rootfs) copy(tr *tar.Reader) error {
	for {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header.Name = path.Clean(header.Name) // "./usr/" -> "usr"
		if header.Name == "." || r.seen[header.Name] || dropped.MatchString(header.Name) {
			continue
		}
		if header.Typeflag == tar.TypeLink {
			header.Linkname = path.Clean(header.Linkname)
		}
		header.Uname, header.Gname, header.Format = "", "", tar.FormatUnknown
		if header.Typeflag == tar.TypeReg && path.Ext(header.Name) == ".py" {
			if pyc, err := os.ReadFile(filepath.Join(r.compiled, header.Name+"c")); err == nil {
				header.Name, header.Size = header.Name+"c", int64(len(pyc))
				if err := r.add(header, pyc); err != nil {
					return err
				}
				continue
			}
		}
		r.seen[header.Name] = true
		if err := r.tw.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(r.tw, tr); err != nil {
			return err
		}
	}
}
