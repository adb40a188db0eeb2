package pluginhost

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// program is a plugin's executable, opened and verified, and held open so that what is started is what was read.
type program struct {
	path string // absolute, as people know it
	exec string // what to start: the open file itself where the system can, the path where not
	file *os.File
	stat os.FileInfo // before it was read
	sum  string
}

var (
	errChanged   = errors.New("its file changed while it was starting")
	errNotLocked = errors.New("its file is not the locked one")
)

// openProgram opens an executable and compares its SHA-256 with want, in hex, if that is not empty.
// The error's text is to be read after the plugin's name.
func openProgram(path, want string) (*program, *Error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, &Error{Problem: "was not started: " + err.Error(), Err: err}
	}
	p := &program{path: abs, exec: abs}
	if problem := p.look(); problem != nil {
		return nil, problem
	}
	if want == "" {
		return p, nil
	}
	if problem := p.verify(strings.ToLower(strings.TrimPrefix(want, "sha256:"))); problem != nil {
		p.close()
		return nil, problem
	}
	return p, nil
}

// look explains the system's errors for files that cannot be started.
func (p *program) look() *Error {
	info, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Problem: "was not found: missing file " + p.path, Hint: "Check the path in required_plugins, and that the plugin is built.", Err: err}
	case err != nil:
		return &Error{Problem: "was not started: " + err.Error(), Err: err}
	case info.IsDir():
		return &Error{Problem: "was not started: " + p.path + " is a folder", Hint: "Name the executable itself in required_plugins."}
	case !info.Mode().IsRegular():
		return &Error{Problem: "was not started: " + p.path + " is not a plain file"}
	case info.Mode().Perm()&0o111 == 0:
		return &Error{Problem: "was not started: " + p.path + " is not executable", Hint: "Run chmod +x " + p.path + ".", Err: fs.ErrPermission}
	}
	return nil
}

func (p *program) verify(want string) *Error {
	var err error
	if p.file, err = os.Open(p.path); err != nil {
		return &Error{Problem: "could not be verified: " + err.Error(), Err: err}
	}
	if p.stat, err = p.file.Stat(); err != nil {
		return &Error{Problem: "could not be verified: " + err.Error(), Err: err}
	}
	head, hash := &bytes.Buffer{}, sha256.New()
	if _, err = io.CopyN(io.MultiWriter(head, hash), p.file, 4); err == nil {
		_, err = io.Copy(hash, p.file)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return &Error{Problem: "could not be verified: " + err.Error(), Err: err}
	}
	p.sum = hex.EncodeToString(hash.Sum(nil))
	if p.sum != want {
		return &Error{
			Problem: fmt.Sprintf("was not started: %s is not the locked file (its SHA-256 is %s, the lock file has %s)", p.path, p.sum, printable(want)),
			Hint:    "If you rebuilt or updated the plugin, run davit init -upgrade. If not, somebody else changed it.",
			Err:     errNotLocked,
		}
	}
	// The kernel starts the open file, whatever the path has come to mean. A script's interpreter opens
	// the path itself, so there only the look afterwards is left.
	if fd := fmt.Sprintf("/proc/self/fd/%d", p.file.Fd()); runtime.GOOS == "linux" && head.String() == "\x7fELF" && exists(fd) {
		p.exec = fd
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unchanged returns an error if the verified file has changed, or is no longer the file at the started path. Linux refuses writes to a
// running ELF program, so this stays true after its start.
func (p *program) unchanged() error {
	if p.file == nil {
		return nil
	}
	now, err := p.file.Stat()
	if err == nil && p.exec == p.path {
		var named os.FileInfo
		if named, err = os.Stat(p.path); err == nil && !os.SameFile(named, p.stat) {
			return errChanged
		}
	}
	if err != nil {
		return err
	}
	if now.Size() != p.stat.Size() || changed(now) != changed(p.stat) {
		return errChanged
	}
	return nil
}

func (p *program) close() {
	if p.file != nil {
		_ = p.file.Close()
	}
}
