//go:build !linux

package pluginhost

import (
	"os"
	"syscall"
)

// processAttributes make a process group. Only the guard ends the process when davit is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// waitExit cannot wait without reaping here; the caller's own wait follows at once.
func waitExit(int) {}

// changed is when the file was last changed.
func changed(info os.FileInfo) [2]int64 { return [2]int64{info.ModTime().UnixNano()} }

// reapsFirst tells that a process can only be waited for by reaping it.
const reapsFirst = true
