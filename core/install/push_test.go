package install

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elfFile is the beginning of a program for a processor.
func elfFile(machine elf.Machine, order binary.ByteOrder) []byte {
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Ehsize: 64}
	data := elf.ELFDATA2LSB
	if order == binary.BigEndian {
		data = elf.ELFDATA2MSB
	}
	copy(h.Ident[:], []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(data), byte(elf.EV_CURRENT)})
	var b bytes.Buffer
	_ = binary.Write(&b, order, h)
	return b.Bytes()
}

// A file is looked at before it is pushed for a platform.
func TestCheckProgram(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil { // not on Linux
		self = elfFile(elf.EM_X86_64, binary.LittleEndian)
	}
	arm := elfFile(elf.EM_AARCH64, binary.LittleEndian)
	for _, c := range []struct {
		platform string
		content  []byte
		want     string
	}{
		{strings.Join(strings.Split(Platform(), "/")[:2], "/"), self, ""},
		{"linux/arm64", arm, ""}, {"freebsd/arm64", arm, ""}, {"linux/s390x", elfFile(elf.EM_S390, binary.BigEndian), ""},
		{"linux/amd64", []byte("#!/bin/sh\n"), ""}, {"darwin/arm64", []byte("\xcf\xfa\xed\xfe"), ""}, {"linux/unheard", arm, ""},
		{"linux/amd64", arm, "is a program for arm64, but would be pushed for linux/amd64"},
		{"linux/arm/v7", arm, "is a program for arm64, but would be pushed for linux/arm/v7"},
		{"darwin/arm64", arm, "is a program for Linux or BSD"},
		{"windows/arm64", arm, "is a program for Linux or BSD"},
		{"linux/amd64", []byte("MZ\x90\x00"), "neither an ELF file nor a script"},
		{"linux/arm64", arm[:20], "is a damaged program"},
		{"linux/arm64", nil, "is empty"},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, c.content, 0o700); err != nil {
			t.Fatal(err)
		}
		err := checkProgram(path, c.platform)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.platform, err, c.want)
		}
	}
}

// Files are for the platforms that their names say.
func TestBuilt(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string // platforms, or the error
	}{
		{[]string{"x_linux_amd64", "x_linux_arm64", "x_linux_arm_v6", "x_linux_arm", "x_windows_amd64.exe", "checksums.txt", "x.tar.gz"},
			"linux/amd64 linux/arm/v6 linux/arm/v7 linux/arm64 windows/amd64"},
		{[]string{"my-plugin-linux-amd64", "my-plugin-darwin-arm64"}, "darwin/arm64 linux/amd64"},
		{[]string{"x_linux_amd64", "y_linux_arm64"}, "several plugins: x and y"},
		{[]string{"x_linux_arm", "x_linux_arm_v7"}, "are both for linux/arm/v7"},
		{[]string{"README"}, "contains no executables"},
	} {
		dir := t.TempDir()
		for _, f := range c.files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		found, err := Built(dir)
		got := strings.Join(slices.Sorted(maps.Keys(found)), " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.files, got)
		}
	}
}

// The same executables have the same digest, whenever and wherever they are pushed; a tag that holds something else is left alone.
func TestPush(t *testing.T) {
	w := newWorld(t)
	first := w.push("1.0.0", both("1.0.0"))
	if again := w.push("1.0.0", both("1.0.0")); again != first {
		t.Errorf("pushed again it is %s, and was %s", again, first)
	}
	// Written down, so that another version of davit or Go that makes another one is noticed.
	if want := "sha256:a968f726e73b61fa53672a64e802a988929adb1aa65df2269a38ed8a1d00d4dc"; first != want {
		t.Errorf("the digest is %s, and was %s when this was written", first, want)
	}
	path := filepath.Join(t.TempDir(), "x")
	w.check(os.WriteFile(path, []byte(program("1.0.0")+"# other\n"), 0o700))
	p := Publication{To: w.source(":1.0.0"), Executables: map[string]string{machine: path}, Platform: machine, Describe: w.describe}
	try := func(want string) {
		t.Helper()
		_, err := Push(t.Context(), p)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	try("already exists with other content (" + first)
	p.To = w.source(":2.0.0")
	try("the plugin reports the version 1.0.0, but the tag is 2.0.0")
	p.To = w.source(":edge")
	try("but the tag is edge")
	p.Force = true
	try("")
	if l := w.install(w.require(":edge", ""), nil); l.Version != "1.0.0" {
		t.Errorf("%+v", l)
	}
	p.Describe = func(context.Context, string, string, string) (Description, error) {
		return Description{Name: "x", Version: "soon"}, nil
	}
	try("which is not a version")
	for _, to := range []string{w.source(""), w.source("@" + first), "registry.example.com/x:1", "oci://x:1"} {
		p.To = to
		try("a plugin cannot be pushed to")
	}
	w.server.Close()
	p.To, p.Describe = w.source(":3.0.0"), w.describe
	try("nothing answers at " + w.host())
}
