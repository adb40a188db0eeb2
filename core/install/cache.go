package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Cache keeps executables by their digests: DIR/plugins/sha256/HEX/NAME. Processes may share it.
type Cache struct{ Dir string }

// Path is where an executable is, or will be. sum is its SHA-256 in hex.
func (c Cache) Path(sum, name string) string {
	return filepath.Join(c.Dir, "plugins", "sha256", sum, name)
}

// has tells whether an executable is there, whole. One that was changed is not.
func (c Cache) has(sum, name string) bool {
	path := c.Path(sum, name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o500 {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == sum
}

// put writes an executable, which is there whole or not at all. It fails if its bytes are not those that are wanted.
func (c Cache) put(ctx context.Context, want Executable, name string, from io.Reader) error {
	path := c.Path(strings.TrimPrefix(want.Digest, "sha256:"), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return place(path, 0o500, verified(ctx, from, want))
}

// verified copies an executable, and fails if its bytes are not those that are wanted. It reads no more than those.
func verified(ctx context.Context, from io.Reader, want Executable) func(io.Writer) error {
	return func(to io.Writer) error {
		h := sha256.New()
		n, err := io.Copy(io.MultiWriter(to, h), io.LimitReader(from, want.Size+1))
		if err != nil {
			return err
		}
		got := "sha256:" + hex.EncodeToString(h.Sum(nil))
		if n != want.Size {
			got += fmt.Sprintf(" after %d of %d bytes", n, want.Size)
		}
		if got != want.Digest {
			return tampered("its executable", got, want.Digest)
		}
		return ctx.Err()
	}
}

// place writes a file beside its place and moves it there when it is whole.
func place(path string, mode os.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = write(f)
	for _, step := range []func() error{func() error { return f.Chmod(mode) }, f.Sync, f.Close} {
		if more := step(); err == nil {
			err = more
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// signaturesPath is where the signatures of a release are kept, to be verified again without its origin.
func (c Cache) signaturesPath(digest string) string {
	return filepath.Join(c.Dir, "plugins", "signatures", digest[len("sha256:"):]+".json")
}

func (c Cache) signatures(digest string) ([]Signature, error) {
	b, err := os.ReadFile(c.signaturesPath(digest))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Signature
	return all, json.Unmarshal(b, &all)
}

func (c Cache) keepSignatures(digest string, all []Signature) error {
	path := c.signaturesPath(digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return place(path, 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(all) })
}
