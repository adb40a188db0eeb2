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

// maxFile bounds what is unpacked from a plan file.
const maxFile = 1 << 30

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
	if err := json.NewEncoder(z).Encode(p); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if err := z.Close(); err != nil {
		return err
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
	text, err := io.ReadAll(io.LimitReader(z, maxFile))
	if err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	var head struct {
		Format int    `json:"format_version"`
		Davit  string `json:"davit_version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("the plan is of format %d, made by davit %s, and this davit reads format %d: plan again with this davit, or apply with that one", head.Format, head.Davit, Format)
	}
	p := &Plan{}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("the plan file is damaged: %w", err)
	}
	digest, err := p.digest()
	if err != nil {
		return nil, err
	}
	if digest != p.Digest {
		return nil, errors.New("the plan file was changed after it was made: its digest does not hold. Plan again")
	}
	return p, nil
}
