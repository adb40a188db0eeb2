package install

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// machines are the architectures of ELF programs, by their names in Go.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64, "loong64": elf.EM_LOONGARCH,
	"mips": elf.EM_MIPS, "mipsle": elf.EM_MIPS, "mips64": elf.EM_MIPS, "mips64le": elf.EM_MIPS,
	"ppc64": elf.EM_PPC64, "ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// checkProgram tells whether a file can be a program for a platform, as far as that can be seen: Linux programs are ELF files
// for their processor, or scripts; those of macOS and Windows are no ELF files.
func checkProgram(path, platform string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if n, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", path, err)
	} else if n < 2 {
		return refuse("", "%s is empty", path)
	}
	parts := strings.Split(platform, "/")
	system, arch := parts[0], parts[1]
	isELF := string(head) == elf.ELFMAG
	switch {
	case string(head[:2]) == "#!":
		return nil
	case system == "darwin" || system == "windows":
		if isELF {
			return refuse("Check which file belongs to which platform.", "%s is a program for Linux or BSD, but would be pushed for %s", path, platform)
		}
		return nil
	case !isELF:
		return refuse("Check which file belongs to which platform.", "%s is not a program for %s: it is neither an ELF file nor a script", path, platform)
	}
	program, err := elf.NewFile(f)
	if err != nil {
		return refuse("Build it again.", "%s is a damaged program: %s", path, err)
	}
	want, known := machines[arch]
	if known && program.Machine != want {
		return refuse("Check which file belongs to which platform.", "%s is a program for %s, but would be pushed for %s", path, nameOf(program.Machine), platform)
	}
	return nil
}

// nameOf is a processor's name, in Go's words if there is one.
func nameOf(m elf.Machine) string {
	for _, name := range []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "ppc64", "riscv64", "s390x"} {
		if machines[name] == m {
			return name
		}
	}
	return m.String()
}
