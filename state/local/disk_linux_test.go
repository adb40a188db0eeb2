package local_test

import (
	"syscall"
	"testing"
)

// mountSmallDisk mounts an empty file system on dir for the time of the test. It returns false where the test may not mount.
func mountSmallDisk(t *testing.T, dir, options string) bool {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return false
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	return true
}
