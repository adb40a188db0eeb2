// Package key makes keyed hashes of sensitive values. The state keeps the hashes instead of the values, so that a change is
// detected and no value is revealed. Hashes with different keys cannot be compared.
package key

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Env is the environment variable with the key: 32 bytes in base64.
const Env = "DAVIT_STATE_KEY"

const size = 32

// Key makes fingerprints.
type Key struct {
	secret []byte
	id     string
}

// Find returns the key of the environment, or that of the file, which is created if it is missing.
func Find(file string) (*Key, error) {
	if text := os.Getenv(Env); text != "" {
		return parse(text, Env)
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return create(file)
	}
	if err != nil {
		return nil, err
	}
	return parse(string(b), file)
}

func parse(text, from string) (*Key, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != size {
		return nil, fmt.Errorf("%s does not contain a key: it must be %d bytes in base64", from, size)
	}
	sum := sha256.Sum256(append([]byte("davit key id\x00"), secret...))
	return &Key{secret: secret, id: hex.EncodeToString(sum[:4])}, nil
}

// create makes a key. If another process makes one at the same time, both use the same.
func create(file string) (*Key, error) {
	secret := make([]byte, size)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // only for its owner to read
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parse(string(b), file)
}

// Fingerprint hashes a value under its path: "hmac-sha256:KEY:HASH", where KEY identifies the key. The same value
// at another path has another hash.
func (k *Key) Fingerprint(path string, value []byte) string {
	h := hmac.New(sha256.New, k.secret)
	fmt.Fprintf(h, "%d:%s\x00", len(path), path)
	h.Write(value)
	return "hmac-sha256:" + k.id + ":" + hex.EncodeToString(h.Sum(nil))
}

// Same returns whether two fingerprints were made with the same key, so that they can be compared.
func Same(a, b string) bool {
	i, j := strings.LastIndexByte(a, ':'), strings.LastIndexByte(b, ':')
	return i >= 0 && i == j && a[:i] == b[:j]
}

// Lazy makes fingerprints with a key that is found at the first call. Without a key,
// the fingerprint is "".
func Lazy(file string) func(path string, value []byte) string {
	find := sync.OnceValues(func() (*Key, error) { return Find(file) })
	return func(path string, value []byte) string {
		k, err := find()
		if err != nil {
			return ""
		}
		return k.Fingerprint(path, value)
	}
}
