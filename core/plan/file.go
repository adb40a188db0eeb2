package plan

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// magic begins every plan file, so that anything else is told apart at once.
const magic = "davit plan\n"

// The limits of a plan file keep a small file that a stranger made from taking all memory. Plans of 10,000 instances stay
// far below them.
const (
	maxText   = 1 << 30   // bytes of JSON
	leastText = 32 << 20  // bytes of JSON that each plan may have
	ratio     = 128       // and for each byte of its file
	maxValues = 4_000_000 // objects, lists and their elements
)

// meter counts what a plan's JSON is made of, and ends with an error beyond the limits.
type meter struct{ bytes, values, most int }

func (m *meter) Write(b []byte) (int, error) {
	m.bytes += len(b)
	m.values += bytes.Count(b, []byte{'{'}) + bytes.Count(b, []byte{'['}) + bytes.Count(b, []byte{','})
	if m.bytes > m.most || m.values > maxValues {
		return 0, fmt.Errorf("the plan is too large (%d MB of text, %d values; the limits are %d MB and %d values)", m.bytes>>20, m.values, m.most>>20, maxValues)
	}
	return len(b), nil
}

// Seal gives the plan its digest, if it has none: of everything but the moment it was made.
func (p *Plan) Seal() error {
	if p.Digest != "" {
		return nil
	}
	digest, err := p.digest()
	p.Digest = digest
	return err
}

// digest hashes the plan a piece at a time: a plan of thousands of changes is not held in memory twice.
func (p *Plan) digest() (string, error) {
	bare := *p
	bare.Digest, bare.Created, bare.Changes, bare.Observations = "", time.Time{}, nil, nil
	h := sha256.New()
	e := json.NewEncoder(h)
	err := e.Encode(&bare)
	for i := range p.Observations {
		err = errors.Join(err, e.Encode(&p.Observations[i]))
	}
	for i := range p.Changes {
		err = errors.Join(err, e.Encode(&p.Changes[i]))
	}
	if err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// Save writes the plan file, only for its owner to read. It is whole or not there at all.
func (p *Plan) Save(path string) error {
	if err := p.Seal(); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(magic)
	z := gzip.NewWriter(&b)
	m := &meter{most: maxText}
	if err := json.NewEncoder(io.MultiWriter(z, m)).Encode(p); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if err := z.Close(); err != nil {
		return err
	}
	if limit := leastText + ratio*b.Len(); m.bytes > limit {
		return fmt.Errorf("writing the plan: it is too large to be read again (%d MB of text, at most %d MB): split the stack", m.bytes>>20, limit>>20)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*")
	if err != nil {
		return fmt.Errorf("writing the plan to %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the plan to %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("writing the plan to %s: %w", path, err)
	}
	return nil
}

// ReadFile reads a plan file and checks that it is whole.
func ReadFile(path string) (*Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	p, err := Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Decode reads the bytes of a plan file.
func Decode(b []byte) (*Plan, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return nil, errors.New("this is not a plan file; make one with: davit plan -out=FILE")
	}
	z, err := gzip.NewReader(bytes.NewReader(rest))
	if err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	var text bytes.Buffer
	if _, err := io.Copy(io.MultiWriter(&meter{most: min(maxText, leastText+ratio*len(b))}, &text), z); err != nil { //nolint:gosec // the meter bounds it
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	var head struct {
		Format int    `json:"format_version"`
		Davit  string `json:"davit_version"`
	}
	if err := json.Unmarshal(text.Bytes(), &head); err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("the plan has format %d of davit %s, but this davit reads format %d: plan again with this davit, or apply with the other one", head.Format, head.Davit, Format)
	}
	p := &Plan{}
	if err := json.Unmarshal(text.Bytes(), p); err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	digest, err := p.digest()
	if err != nil {
		return nil, err
	}
	if digest != p.Digest {
		return nil, errors.New("the plan file was changed after it was made: its digest does not match. Plan again")
	}
	return p, nil
}
