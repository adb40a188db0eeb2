package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// process identifies one process for all time. A number alone does not: containers share
// numbers and host names, and numbers are used again.
type process struct {
	Boot      string `json:"boot"`      // of the kernel, anew at each start
	Namespace string `json:"namespace"` // of process numbers
	PID       int    `json:"pid"`       // in that namespace
	Started   string `json:"started"`   // in clock ticks after the boot
}

// thisProcess returns nil if the system does not provide the facts.
func thisProcess() *process {
	p := &process{PID: os.Getpid()}
	var err error
	if p.Boot, p.Namespace, err = here(); err != nil {
		return nil
	}
	if p.Started, err = started(p.PID); err != nil {
		return nil
	}
	return p
}

func here() (boot, namespace string, err error) {
	b, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, err2 := os.Readlink("/proc/self/ns/pid")
	return strings.TrimSpace(string(b)), namespace, errors.Join(err1, err2)
}

// started returns the 22nd field of /proc/PID/stat (see proc(5)). The second one is a name in
// brackets, which may hold anything.
func started(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return "", errors.New("/proc/PID/stat is too short")
	}
	return string(fields[19]), nil
}

// ended returns true only if the process certainly has ended. It returns false for a process of another machine or another
// container, and for one of another user that /proc hides.
func (p *process) ended() bool {
	if p == nil || p.PID <= 0 {
		return false
	}
	boot, namespace, err := here()
	if err != nil || boot != p.Boot || namespace != p.Namespace {
		return false
	}
	if errors.Is(syscall.Kill(p.PID, 0), syscall.ESRCH) {
		return true
	}
	now, err := started(p.PID)
	return err == nil && now != p.Started // another one has its number
}
