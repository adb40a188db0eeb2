//go:build !linux

package pluginhost

import (
	"os"
	"os/exec"
	"syscall"
)

// processAttributes make a process group. Only the guard ends the process when davit is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// waitExit waits until the process has ended. It cannot do that here without reaping it.
func waitExit(cmd *exec.Cmd) { _ = cmd.Wait() }

// changed is when the file was last changed.
func changed(info os.FileInfo) [2]int64 { return [2]int64{info.ModTime().UnixNano()} }
