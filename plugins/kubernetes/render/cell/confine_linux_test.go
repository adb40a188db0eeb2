package cell

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// confinementAttempts are what a worker tries that a stranger has taken over. Each must fail.
var confinementAttempts = map[string]func() error{
	"open a file of this machine":          func() error { _, err := os.ReadFile("/etc/passwd"); return err },
	"open its own environment":             func() error { _, err := os.ReadFile("/proc/self/environ"); return err },
	"open what its parent sees":            func() error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid())); return err },
	"list a folder":                        func() error { _, err := os.ReadDir("/"); return err },
	"look whether a file is there":         func() error { _, err := os.Stat("/etc/passwd"); return err },
	"write a file":                         func() error { return os.WriteFile("/tmp/davit-attack", []byte("x"), 0o600) },
	"remove a file":                        func() error { return os.Remove("/tmp/davit-attack-victim") },
	"make a folder":                        func() error { return os.Mkdir("/tmp/davit-attack-folder", 0o700) },
	"make a link":                          func() error { return os.Symlink("/etc/passwd", "/tmp/davit-attack-link") },
	"start a program":                      func() error { return exec.Command("/bin/true").Run() },
	"become a program":                     func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"connect over TCP":                     func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return refusedOnly(err) },
	"listen over TCP":                      func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
	"bind a TCP port":                      bindTCP,
	"send over UDP":                        func() error { _, err := net.Dial("udp", "127.0.0.1:53"); return err },
	"connect to an abstract socket":        func() error { _, err := net.Dial("unix", "@x"); return refusedOnly(err) },
	"make a raw socket":                    func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, 1); return err },
	"trace its parent":                     func() error { return unix.PtraceAttach(os.Getppid()) },
	"read the memory of its parent":        readParent,
	"send a signal to its parent":          func() error { return syscall.Kill(os.Getppid(), 0) },
	"make a namespace":                     func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"mount":                                func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") },
	"make a process":                       fork,
	"raise its limits":                     func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096}) },
	"make a file in memory to be executed": func() error { _, err := unix.MemfdCreate("x", 0); return err },
	"use io_uring":                         func() error { _, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); return errno(e) },
	"use an inherited descriptor":          inherited,
	"read an environment variable":         environment,
}

// refusedOnly is an error of the confinement; that nobody listens is none.
func refusedOnly(err error) error {
	if err != nil && !isPermission(err) {
		return nil
	}
	return err
}

func isPermission(err error) bool {
	e, ok := errors.AsType[syscall.Errno](err)
	return ok && (e == unix.EPERM || e == unix.EACCES)
}

// bindTCP does without what Go adds: Landlock does not know multipath TCP.
func bindTCP() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // an attempt
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}

func readParent() error {
	buffer := make([]byte, 8)
	local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
	_, err := unix.ProcessVMReadv(os.Getppid(), local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	return err
}

func fork() error {
	pid, _, e := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if e == 0 && pid == 0 {
		syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
	}
	return errno(e)
}

func errno(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// leaked is the number of a descriptor that the test leaves open for children.
const leaked = 40

func inherited() error {
	var st unix.Stat_t
	return unix.Fstat(leaked, &st)
}

func environment() error {
	if len(os.Environ()) > 0 {
		return nil
	}
	return fmt.Errorf("there is none")
}

// TestAttackFromInside has a worker try everything that it must not be able to do. The kernel of the machine that tests has all mechanisms.
func TestAttackFromInside(t *testing.T) {
	victim := filepath.Join(os.TempDir(), "davit-attack-victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(victim)
	t.Setenv("DAVIT_GIT_TOKEN", "planted")
	if err := unix.Dup3(int(os.Stdout.Fd()), leaked, 0); err != nil { //nolint:gosec // a descriptor fits an int
		t.Fatal(err)
	}
	defer unix.Close(leaked) //nolint:errcheck // it was only there to be found
	p := pool(t)
	c, err := p.Confinement(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c)
	if !c.Seccomp || !c.NoNewPrivs || !c.Limits {
		t.Fatalf("this machine's kernel confines with %+v only", c)
	}
	held := 0
	for name := range confinementAttempts {
		w, _, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.folder(t.Context(), p.time, tree(nil), request{Attempt: name})
		w.end()
		switch {
		case err != nil:
			t.Errorf("%s: the worker did not survive: %v", name, err)
		case len(a.Findings) == 0:
			t.Errorf("%s: a worker can", name)
		default:
			held++
			t.Logf("%s: %s", name, a.Findings[0].Summary)
		}
	}
	fmt.Printf("attack: tried %d, held %d, failed %d\n", len(confinementAttempts), held, len(confinementAttempts)-held)
}

// Landlock alone keeps a process from files and ports, where the filter of system calls is not there.
func TestLandlockAlone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(self, "landlock-alone").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// landlockAlone is the process of TestLandlockAlone.
func landlockAlone() int {
	if version := restrict(); version == 0 {
		fmt.Println("this kernel has no Landlock")
		return 1
	}
	failed := 0
	for _, name := range []string{"open a file of this machine", "open its own environment", "list a folder", "write a file", "remove a file", "make a folder", "bind a TCP port", "start a program", "become a program"} {
		if err := confinementAttempts[name](); err == nil {
			fmt.Println("it can", name)
			failed = 1
		}
	}
	return failed
}
