package tree

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// A tree that would fill the disk is refused before a file of it is read.
func TestLimits(t *testing.T) {
	var l Limit
	var err error
	for range MaxFiles + 1 {
		if err = l.Add(Entry{Path: "a"}); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "is file number 500001") {
		t.Errorf("too many files: %v", err)
	}
	for what, entries := range map[string][]Entry{
		"one large file":         {{Path: "a", Mode: 0o644, Size: MaxBytes + 1}},
		"many that are too much": {{Path: "a", Mode: 0o644, Size: MaxBytes}, {Path: "b", Mode: 0o644, Size: 1}},
		"a size below nothing":   {{Path: "a", Mode: 0o644, Size: -1}},
	} {
		_, err := Write(t.Context(), t.TempDir(), entries, func(Entry) (io.ReadCloser, error) { return nil, errors.New("was read") })
		if err == nil || strings.Contains(err.Error(), "was read") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
