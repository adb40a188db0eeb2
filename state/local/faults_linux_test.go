package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

// A disk that fails: the kernel asks the program itself about each of its own calls that write (a
// seccomp filter with a listener, see seccomp_unotify(2)), and gets what a bad disk would have answered.
type disk struct {
	listener int
	seen     atomic.Int64 // calls so far
	failAt   int64        // the number of the first one that fails
	forever  bool         // all later ones as well
	short    bool         // before the first failure, half of a write is done
	errno    syscall.Errno
	memory   *os.File
}

// notification and response are struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// watched are the calls by which a file is written and made durable.
var watched = []uint32{unix.SYS_PWRITE64, unix.SYS_FDATASYNC, unix.SYS_FSYNC, unix.SYS_FTRUNCATE, unix.SYS_RENAMEAT, unix.SYS_MKDIRAT}

func (d *disk) install() error {
	var err error
	if d.memory, err = os.Open("/proc/self/mem"); err != nil {
		return err
	}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, nr := range watched {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(watched) - i)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	d.listener = int(fd)
	go d.serve()
	return nil
}

func (d *disk) serve() {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue
		}
		r := d.answer(n)
		r.id = n.id
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(d.listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

func (d *disk) answer(n notification) response {
	i := d.seen.Add(1)
	bad := i == d.failAt || (i > d.failAt && d.forever)
	isWrite := n.nr == unix.SYS_PWRITE64
	switch {
	case d.short && isWrite && i == d.failAt && n.args[2] > 1:
		d.failAt++ // the rest of it fails
		half := make([]byte, n.args[2]/2)
		if _, err := d.memory.ReadAt(half, int64(n.args[1])); err != nil {
			return response{err: -int32(unix.EFAULT)}
		}
		wrote, err := unix.Pwritev(int(n.args[0]), [][]byte{half}, int64(n.args[3]))
		if err != nil {
			return response{err: -int32(unix.EIO)}
		}
		return response{val: int64(wrote)}
	case bad:
		return response{err: -int32(d.errno)}
	}
	return response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
}

// fail makes and writes a state on a disk that fails at one call, and says what it was told is durable. After a
// failure it tries everything once more.
func fail(path string, args []string) error {
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	d := &disk{failAt: n, forever: args[1] == "forever", short: args[2] == "short", errno: map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}[args[3]]}
	if err := d.install(); err != nil {
		return err
	}
	s, err := local.Open(path)
	if err != nil {
		return err
	}
	twice := func(what string, fn func() error) {
		for range 2 {
			err := fn()
			var own *local.Error
			switch {
			case err == nil:
				fmt.Println("done", what)
				return
			case !errors.Is(err, d.errno) && !errors.Is(err, state.ErrLeaseLost) && !errors.As(err, &own):
				fmt.Println("unclear", err)
			default:
				fmt.Println("failed", err)
			}
		}
	}
	ctx := context.Background()
	var l state.Lease
	twice("lock", func() (err error) { l, err = s.Lock(ctx, state.Holder{Who: "a@b"}); return err })
	if l == nil {
		return nil
	}
	for i := range 3 {
		r := statetest.Record("build.oci.r" + strconv.Itoa(i))
		r.Private = make([]byte, 20<<10*i) // the file grows
		twice(r.Address, func() error {
			_, err := l.Commit(ctx, state.Batch{Put: []state.Record{r}, Outputs: map[string]json.RawMessage{"last": json.RawMessage(strconv.Itoa(i))}})
			return err
		})
	}
	twice("release", func() error { return l.Release(ctx) })
	if d.seen.Load() < n {
		fmt.Println("enough")
	}
	return nil
}

// Whichever write, sync or growth of the file fails, for once or for ever, cleanly or after half a write: what was
// acknowledged is there, no commit is half there, and the file can be used.
func TestFailingDisk(t *testing.T) {
	for _, forever := range []string{"once", "forever"} {
		for _, how := range []string{"clean EIO", "short ENOSPC"} {
			t.Run(forever+" "+how, func(t *testing.T) {
				kind, errno, _ := strings.Cut(how, " ")
				failures, acknowledged, unanswered := 0, 0, 0
				for n := 1; ; n++ {
					path := filepath.Join(t.TempDir(), "state.db")
					c := start(t, "fail", path, strconv.Itoa(n), forever, kind, errno)
					done, enough, tried := map[string]bool{}, false, map[string]bool{}
					for c.out.Scan() {
						what, text, _ := strings.Cut(c.out.Text(), " ")
						switch what {
						case "done":
							done[text] = true
						case "failed":
							tried[text] = true
						case "enough":
							enough = true
						default:
							t.Fatalf("failing at call %d: %s", n, c.out.Text())
						}
					}
					if err := c.Wait(); err != nil {
						t.Fatalf("failing at call %d: %v", n, err)
					}
					if enough {
						break
					}
					failures++
					a, b := whole(t, path, done)
					acknowledged, unanswered = acknowledged+a, unanswered+b
				}
				statetest.Numbers(t, "%s %s at each of %d calls: %d commits acknowledged, 0 lost; %d written whole without an answer", errno, forever, failures, acknowledged, unanswered)
				if failures < 15 {
					t.Error("the failures did not reach the commits")
				}
			})
		}
	}
}

// whole checks a state after a failure, and that it can be written to. It counts the commits that were
// acknowledged, and those that are there all the same.
func whole(t *testing.T, path string, done map[string]bool) (acknowledged, unanswered int) {
	t.Helper()
	s := store(t, path)
	a, err := s.Archive(t.Context())
	if err != nil || len(a.Damaged) > 0 {
		t.Fatalf("after the failure: %v, damaged %v", err, a.Damaged)
	}
	last := -1
	for i := range 3 {
		address := "build.oci.r" + strconv.Itoa(i)
		r, there := a.Records[address]
		switch {
		case done[address] && !there:
			t.Fatalf("%s was acknowledged and is lost", address)
		case done[address]:
			acknowledged++
		case there:
			unanswered++
		}
		if there && len(r.Private) != 20<<10*i {
			t.Fatalf("%s has %d bytes", address, len(r.Private))
		}
		if there {
			last = i
		}
	}
	if got := string(a.Outputs["last"]); (last >= 0 && got != strconv.Itoa(last)) || (last < 0 && got != "") {
		t.Fatalf("the records go to %d and the outputs to %q", last, got)
	}
	l, err := s.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatalf("locking after the failure: %v", err)
	}
	_, err = l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.later")}})
	if err := errors.Join(err, l.Release(t.Context())); err != nil {
		t.Fatalf("writing after the failure: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
	return acknowledged, unanswered
}

// An upgrade that is cut off at any write, sync or name leaves a file of the one format or of the other, whole.
func TestUpgradeOnFailingDisk(t *testing.T) {
	cut := 0
	for n := 1; ; n++ {
		path := format1(t)
		c := start(t, "fail", path, strconv.Itoa(n), "forever", "clean", "EIO")
		var said []string
		for c.out.Scan() {
			said = append(said, c.out.Text())
		}
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(said, "done lock") { // it is upgraded
			break
		}
		cut++
		a, err := store(t, path).Archive(t.Context())
		if err != nil {
			t.Fatalf("cut off at call %d: %v", n, err)
		}
		a.Lineage = ""
		if diff := cmp.Diff(was(), a); diff != "" {
			t.Fatalf("cut off at call %d (-want +got):\n%s", n, diff)
		}
		l, err := store(t, path).Lock(t.Context(), state.Holder{})
		if err != nil {
			t.Fatalf("cut off at call %d, and done again: %v", n, err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(backups(t, path)) == 0 {
			t.Fatalf("cut off at call %d: there is no backup", n)
		}
	}
	statetest.Numbers(t, "cut off at each of %d calls: the state was whole each time, and the upgrade was done again", cut)
	if cut < 5 {
		t.Error("the failures did not reach the upgrade")
	}
}
