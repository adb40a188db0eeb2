package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// writeFile replaces a file at once and durably: a killed process leaves the old one or the new one.
func writeFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("writing to the registry's folder: %w", err)
	}
	// "~" is in no name that is listed.
	f, err := os.CreateTemp(dir, "~*")
	if err != nil {
		return fmt.Errorf("writing to the registry's folder: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing to the registry's folder: %w", err)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting from the registry's folder: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func digestOf(body []byte) string {
	h, _, err := v1.SHA256(bytes.NewReader(body))
	if err != nil { // reading memory does not fail
		return ""
	}
	return h.String()
}

// tagFile is a tag's file name: capital letters are written "+x".
func tagFile(tag string) string {
	var b strings.Builder
	for _, r := range tag {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('+')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// tagOf reads a file name of tagFile.
func tagOf(file string) string {
	var b strings.Builder
	for i := 0; i < len(file); i++ {
		if file[i] == '+' && i+1 < len(file) {
			i++
			b.WriteString(strings.ToUpper(file[i : i+1]))
			continue
		}
		b.WriteByte(file[i])
	}
	return b.String()
}
