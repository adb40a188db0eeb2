package pluginhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// socketPath is the longest path of a Unix socket that all systems take (macOS: 104 with its end).
	socketPath = 103
	// socketName is what is added to the folder: "/plugin-dir1234567890/plugin1234567890".
	socketName = 38
	// sweepAge is how old a folder without an owner must be: younger ones may be about to be locked.
	sweepAge = time.Minute
)

// socketDir is a folder for the sockets of one host's plugins: 0700, and locked as long as the host lives, by
// which other hosts tell it from what a killed one left behind.
type socketDir struct {
	path  string
	lock  *os.File
	swept chan struct{}
}

func newSocketDir() (*socketDir, error) {
	prefix := fmt.Sprintf("davit-%d-", os.Getuid())
	parent := os.TempDir()
	if len(parent)+1+len(prefix)+10+socketName > socketPath {
		parent = "/tmp" // the system's limit on paths of sockets
	}
	path, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the plugins' sockets: %w", err)
	}
	lock, err := lockDir(path)
	if err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("lock the folder for the plugins' sockets: %w", err)
	}
	d := &socketDir{path: path, lock: lock, swept: make(chan struct{})}
	go func() {
		defer close(d.swept)
		sweep(parent, prefix)
	}()
	return d, nil
}

// lockDir locks a folder until the file is closed or the process ends. It does not wait.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes the folders that killed hosts of this user left behind.
func sweep(parent, prefix string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.IsDir() {
			continue
		}
		path := filepath.Join(parent, e.Name())
		info, err := os.Lstat(path)
		if err != nil || !mine(info) || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		if lock, err := lockDir(path); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

// mine tells whether it is a folder of this user that nobody else can write to.
func mine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Getuid() && info.Mode().Perm() == 0o700
}

func (d *socketDir) remove() {
	if d == nil {
		return
	}
	<-d.swept
	_ = os.RemoveAll(d.path)
	_ = d.lock.Close()
}

// socketError is an address that is not allowed, to be read after the plugin's name.
type socketError struct{ problem string }

func (e *socketError) Error() string { return e.problem }

func badSocket(format string, args ...any) error {
	return &socketError{fmt.Sprintf(format, args...)}
}

// checkSocket makes sure that an address that a plugin told is a socket in its folder: a
// plugin must not send davit to some other server.
func checkSocket(dir, network, address string) error {
	if network != "unix" {
		return badSocket("serves on %s %q, not on a Unix socket", printable(network), printable(address))
	}
	if filepath.Dir(filepath.Clean(address)) != dir {
		return badSocket("serves on %q, outside of its folder %q", printable(address), dir)
	}
	info, err := os.Lstat(address)
	if err != nil {
		return badSocket("reported the socket %q, which does not exist", printable(address))
	}
	if info.Mode().Type() != os.ModeSocket {
		return badSocket("serves on %q, which is not a socket", printable(address))
	}
	return nil
}
