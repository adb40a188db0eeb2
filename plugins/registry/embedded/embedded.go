// Package embedded is a small OCI registry that keeps its images in a folder: what
// davit uses where there is no registry yet. It has no logins, so it listens on
// this machine only unless told otherwise.
//
// Blobs are served by go-containerregistry's handler. Uploads, manifests and tags are this package's own: they are files, so
// that a restart loses nothing and memory does not grow with an image. Tag lists are paged with a Link header.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Option changes how Serve works.
type Option func(*options)

type options struct{ remote bool }

// AllowRemote lets the registry listen on addresses that other machines reach. Anyone who does can read and overwrite images.
func AllowRemote() Option { return func(o *options) { o.remote = true } }

// Serve starts the registry on addr ("127.0.0.1:5000"; port 0 takes a free one), with its images below dir, which is made.
// It returns the address it listens on and a function that waits until the registry has
// ended, which it does when ctx ends. Two registries must not share a folder.
func Serve(ctx context.Context, addr, dir string, opts ...Option) (actual string, wait func() error, err error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if !o.remote {
		if err := checkLoopback(addr); err != nil {
			return "", nil, err
		}
	}
	handler, err := Handler(dir)
	if err != nil {
		return "", nil, err
	}
	if !o.remote {
		handler = localOnly(handler)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, fmt.Errorf("starting the registry: %w", err)
	}
	running := &counted{inner: handler}
	server := &http.Server{Handler: running, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return listener.Addr().String(), func() error { return end(ctx, server, running, done) }, nil
}

// counted counts the requests that are being answered.
type counted struct {
	inner   http.Handler
	running atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.running.Add(1)
	defer c.running.Add(-1)
	c.inner.ServeHTTP(w, r)
}

// grace is how long running requests may take after the end.
const grace = 5 * time.Second

// end waits for ctx, then for the running requests. http.Server.Shutdown alone would also wait
// for connections that never sent any.
func end(ctx context.Context, server *http.Server, running *counted, done <-chan error) error {
	select {
	case err := <-done:
		return fmt.Errorf("the registry stopped: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = server.Shutdown(limit)
	}()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for waiting := true; waiting; {
		select {
		case <-closed:
			waiting = false
		case <-ticker.C:
			waiting = running.running.Load() > 0
		}
	}
	err := server.Close()
	cancel()
	<-closed
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	if err != nil {
		return fmt.Errorf("stopping the registry: %w", err)
	}
	return nil
}

// Handler serves the registry's API from dir, which is made if it is not there.
func Handler(dir string) (http.Handler, error) {
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return nil, fmt.Errorf("making the registry's folder: %w", err)
	}
	if err := sweep(blobs); err != nil {
		return nil, err
	}
	inner := ggcr.New(
		ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(blobs)),
		ggcr.Logger(log.New(io.Discard, "", 0)),
	)
	return &handler{store: &store{dir: filepath.Join(dir, "repositories"), blobs: blobs}, uploads: &uploads{blobs: blobs, busy: map[string]bool{}}, inner: inner}, nil
}

// sweep removes what uploads have left that a dead process did not finish.
func sweep(blobs string) error {
	left, err := filepath.Glob(filepath.Join(blobs, "upload-*"))
	if err != nil {
		return fmt.Errorf("sweeping the registry's folder: %w", err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("sweeping the registry's folder: %w", err)
		}
	}
	return nil
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("the registry's address %q is not host:port: %w", addr, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("the registry has no authentication, so it does not listen on %q, which other machines can reach: "+
			"use 127.0.0.1, or allow it explicitly", addr)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// localOnly refuses requests that name another host: a web page that a browser on this machine shows can
// make its own name point to 127.0.0.1.
func localOnly(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		if !isLoopback(host) && !strings.HasSuffix(host, ".localhost") {
			refuse(w, http.StatusForbidden, "DENIED", "this registry serves its own machine only")
			return
		}
		inner.ServeHTTP(w, r)
	})
}
