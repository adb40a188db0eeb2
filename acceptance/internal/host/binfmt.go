package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davit-sh/davit/acceptance/internal/cache"
	"github.com/davit-sh/davit/acceptance/internal/process"
)

const binfmtDir = "/proc/sys/fs/binfmt_misc"

// Emulation lets the kernel run arm64 and arm executables through qemu, in
// containers too. It mounts binfmt_misc and registers qemu where nothing did
// so at boot. Needs root.
func Emulation(ctx context.Context) error {
	formats := []string{"qemu-aarch64", "qemu-arm"}
	dir, err := cache.Dir()
	if err != nil {
		return err
	}
	unlock, err := cache.Lock(filepath.Join(dir, "setup.lock"))
	if err != nil {
		return err
	}
	defer unlock()

	if _, err := os.Stat(filepath.Join(binfmtDir, "register")); err != nil {
		if err := unix.Mount("binfmt_misc", binfmtDir, "binfmt_misc", 0, ""); err != nil {
			return fmt.Errorf("mount binfmt_misc to emulate arm: %w (does this kernel have binfmt_misc?)", err)
		}
	}
	for _, format := range formats {
		if registered(format) == nil {
			continue
		}
		if _, err := process.Run(ctx, process.Command{
			Name: "register " + format,
			Args: []string{"update-binfmts", "--enable", format},
		}); err != nil {
			return err
		}
		if err := registered(format); err != nil {
			return fmt.Errorf("register %s: %w", format, err)
		}
	}
	return nil
}

// registered wants the F flag: the kernel then holds the interpreter open, and
// it works in a container that does not have it.
func registered(format string) error {
	text, err := os.ReadFile(filepath.Join(binfmtDir, format))
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(text), "enabled") {
		return fmt.Errorf("%s is not enabled", format)
	}
	for line := range strings.Lines(string(text)) {
		if flags, ok := strings.CutPrefix(line, "flags:"); ok && strings.Contains(flags, "F") {
			return nil
		}
	}
	return fmt.Errorf("%s is registered without the F flag: disable it with update-binfmts --disable %s", format, format)
}
