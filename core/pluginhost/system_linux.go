package pluginhost

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes make a process group, and end the process when the thread that starts it ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitExit waits until the process has ended, and leaves it to be reaped: as long as it is not, its
// number belongs to no other process or group.
func waitExit(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// changed is when the file or what is known of it was last changed. Nobody but root can set it back.
func changed(info os.FileInfo) [2]int64 {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]int64{info.ModTime().UnixNano()}
	}
	return [2]int64{int64(s.Ctim.Sec), int64(s.Ctim.Nsec)} //nolint:unconvert // 32 bits wide on some systems
}
