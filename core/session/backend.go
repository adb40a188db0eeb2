package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/kubernetes"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/s3"
)

// Backend is where a stack's state is: what the state block says.
type Backend struct {
	Type       string             `json:"type"` // "local", "s3" or "kubernetes"
	Local      *localBackend      `json:"local,omitempty"`
	S3         *s3.Config         `json:"s3,omitempty"`
	Kubernetes *kubernetes.Config `json:"kubernetes,omitempty"`
}

type localBackend struct {
	Path string `hcl:"path" json:"path"`
}

// folder is davit's own folder in a stack.
const folder = ".davit"

func defaultBackend() Backend {
	return Backend{Type: "local", Local: &localBackend{Path: filepath.Join(folder, "state.db")}}
}

// BackendOf reads the state block.
func BackendOf(stack *config.Stack) (Backend, hcl.Diagnostics) {
	block := stack.Settings.State
	if block == nil {
		return defaultBackend(), nil
	}
	b := Backend{Type: block.Type}
	var into any
	var check func() error
	switch block.Type {
	case "local":
		b.Local = &localBackend{}
		into = b.Local
	case "s3":
		b.S3 = &s3.Config{}
		into, check = b.S3, func() error { return b.S3.Validate() }
	case "kubernetes":
		b.Kubernetes = &kubernetes.Config{}
		into, check = b.Kubernetes, func() error { return b.Kubernetes.Validate() }
	default:
		return b, hcl.Diagnostics{diag.Errorf(block.Range, "Unknown state backend", "The state backend %q does not exist. Known backends: kubernetes, local, s3.%s",
			block.Type, diag.DidYouMean(block.Type, []string{"kubernetes", "local", "s3"}))}
	}
	if diags := gohcl.DecodeBody(block.Body, nil, into); diags.HasErrors() {
		return b, diags
	}
	if check != nil {
		if err := check(); err != nil {
			return b, hcl.Diagnostics{diag.Errorf(block.Range, "Wrong state settings", "%s.", err)}
		}
	}
	return b, nil
}

// Open opens the state. Relative paths are relative to the stack.
func (b Backend) Open(ctx context.Context, dir string) (state.Store, error) {
	switch b.Type {
	case "s3":
		return s3.Open(ctx, *b.S3)
	case "kubernetes":
		return kubernetes.Open(ctx, *b.Kubernetes)
	}
	return local.Open(Absolute(dir, b.Local.Path))
}

func (b Backend) String() string {
	switch b.Type {
	case "s3":
		return "s3 (bucket " + b.S3.Bucket + ", key " + b.S3.Key + ")"
	case "kubernetes":
		return "kubernetes (" + b.Kubernetes.Name + ")"
	}
	return "local (" + b.Local.Path + ")"
}

// Text returns the backend as a file keeps it.
func (b Backend) Text() []byte {
	text, _ := json.Marshal(b) // plain strings and booleans
	return append(text, '\n')
}

// backendFile notes in which backend a stack's state was last used on this machine.
func backendFile(dir string) string { return filepath.Join(dir, folder, "backend.json") }

// LastBackend tells where the state was last used. Nil: nowhere.
func LastBackend(dir string) (*Backend, error) {
	text, err := os.ReadFile(backendFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		b := defaultBackend() // which davit uses without being told
		if _, err := os.Stat(Absolute(dir, b.Local.Path)); err != nil {
			return nil, nil
		}
		return &b, nil
	}
	if err != nil {
		return nil, err
	}
	var b Backend
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%s cannot be read; remove it if the state is where the stack's settings say: %w", backendFile(dir), err)
	}
	return &b, nil
}

// Remember notes where the state is.
func (b Backend) Remember(dir string) error {
	old, err := os.ReadFile(backendFile(dir))
	if err == nil && bytes.Equal(old, b.Text()) {
		return nil
	}
	if err := ownFolder(dir); err != nil {
		return err
	}
	return ReplaceFile(backendFile(dir), b.Text(), 0o600)
}

// ownFolder makes davit's folder in a stack, which is not for Git.
func ownFolder(dir string) error {
	own := filepath.Join(dir, folder)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	ignore := filepath.Join(own, ".gitignore")
	if _, err := os.Stat(ignore); errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(ignore, []byte("*\n"), 0o600)
	}
	return nil
}

// OpenState opens the state that the stack names. A state that was elsewhere before is not left behind unnoticed.
func OpenState(ctx context.Context, stack *config.Stack) (state.Store, error) {
	now, diags := BackendOf(stack)
	if diags.HasErrors() {
		return nil, &Problem{stack, diags}
	}
	before, err := LastBackend(stack.Dir)
	if err != nil {
		return nil, err
	}
	if before != nil && !bytes.Equal(before.Text(), now.Text()) {
		return nil, ErrMoved(*before, now)
	}
	return now.Open(ctx, stack.Dir)
}

// ErrMoved is the error of a state that was in another place before.
func ErrMoved(before, now Backend) error {
	return fmt.Errorf("the state was in %s, but the stack's settings now name %s. Copy the state with davit init -migrate-state; "+
		"or use the state at the new place as it is, with davit init -reconfigure", before, now)
}
