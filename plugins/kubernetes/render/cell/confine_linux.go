package cell

import (
	"math/bits"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// mostMemory is how much memory a worker may have: 1 GiB, and half of it where addresses are short.
const mostMemory = bits.UintSize << 24

// confine gives up everything that rendering does not need. Each mechanism stands alone: what the kernel lacks is left out.
func confine() Confinement {
	c := Confinement{Limits: limit() == nil}
	c.NoNewPrivs = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil
	c.Landlock = restrict()
	c.Seccomp = filter() == nil
	return c
}

// restrict takes all files and ports away with Landlock, and returns its version; 0 when the kernel has none. No rule is given: a
// worker serves one source after another, and rules can only be narrowed. What the kernel cannot restrict yet is left out.
func restrict() (version int) {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 || landlock.V9.BestEffort().Restrict() != nil {
		return 0
	}
	return version
}

// keepDescriptors keeps children from inheriting descriptors that others have left open in this process.
func keepDescriptors() {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 4096; fd++ { // a kernel before 5.11
		unix.CloseOnExec(fd)
	}
}

// limit sets the kernel's limits. Memory is that of the process's own, not of what it shares with others.
func limit() error {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_NOFILE: 16, unix.RLIMIT_CPU: 600, unix.RLIMIT_DATA: mostMemory + mostMemory/4,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return err
		}
	}
	return nil
}

// allowed are the system calls of the Go runtime and of reading and writing pipes. Everything else fails, files and sockets included.
var allowed = []string{
	"read", "write", "readv", "writev", "pread64", "close", "fstat", "fstat64", "lseek", "_llseek", "fcntl", "fcntl64", "dup", "dup3",
	"mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "mincore", "brk", "membarrier",
	"futex", "futex_time64", "sched_yield", "sched_getaffinity", "set_robust_list", "get_robust_list", "rseq",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "rt_sigtimedwait", "tgkill", "restart_syscall",
	"nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time",
	"timer_create", "timer_settime", "timer_settime64", "timer_delete", "setitimer",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe2", "poll", "ppoll",
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "getrlimit", "ugetrlimit", "uname", "getrandom",
	"exit", "exit_group", "set_tid_address", "set_tls", "arch_prctl", "cacheflush",
}

// filter installs the filter of system calls for all threads.
func filter() error {
	known, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var names []string
	for _, name := range allowed {
		if _, ok := known.SyscallNames[name]; ok {
			names = append(names, name)
		}
	}
	// A thread may be made, a process not. The arguments of clone3 cannot be looked at: who tries it is told that there is none, and uses clone.
	threads := seccomp.NameWithConditions{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}}}
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: []seccomp.NameWithConditions{threads}},
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		}},
	})
}
