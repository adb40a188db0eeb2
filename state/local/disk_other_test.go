//go:build !linux

package local_test

import "testing"

// mountSmallDisk returns false: these systems have no file system in memory that a test may mount.
func mountSmallDisk(*testing.T, string, string) bool { return false }
