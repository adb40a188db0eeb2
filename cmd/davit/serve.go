package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/server"
	"github.com/davit-sh/davit/sdk/trim"
)

type serveFlags struct {
	stacks, vars, varFiles          []string
	listen, tokens, tlsCert, tlsKey string
	interval, grace                 time.Duration
	parallel                        int
	verbose                         bool
	hooks                           hookFlags
}

func (a *app) serveCmd() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve -stack FOLDER", Short: "Keep stacks reconciled: plan and apply them whenever something changes",
		Long: "Serve holds the lock on the state of each stack, plans and applies at the start, at every interval and whenever a trigger says that something\n" +
			"is new. It reads the stack's files again when they change; files with an error do not run: the last good ones go on. SIGTERM ends it: running\n" +
			"operations may finish, and what is unfinished is found again by the next run.\n\n" +
			"  davit serve -stack clusters/home -interval 1m",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.serve(&f) },
	}
	cmd.Flags().StringArrayVar(&f.stacks, "stack", nil, "a stack's `folder`; may be given several times")
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "value of a variable in all stacks, as `name=value`")
	cmd.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "`file` with values of variables, relative to each stack")
	cmd.Flags().DurationVar(&f.interval, "interval", time.Minute, "how often everything is looked at that nothing watches")
	cmd.Flags().DurationVar(&f.grace, "grace", 20*time.Second, "how long running operations may go on after SIGTERM before they are cancelled")
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "the number of operations of one stack at the same time (10)")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "log each reconcile, those without changes as well")
	cmd.Flags().StringVar(&f.listen, "listen", "", "`address` of the API: unix:PATH (default: .davit/serve.sock of the first stack), HOST:PORT, or off")
	cmd.Flags().StringVar(&f.tokens, "tokens", "", "`file` with the callers of the API; needed for HOST:PORT")
	cmd.Flags().StringVar(&f.tlsCert, "tls-cert", "", "`file` with the certificate of the API; needed unless the address is a loopback address")
	cmd.Flags().StringVar(&f.tlsKey, "tls-key", "", "`file` with the key of the certificate")
	f.hooks.add(cmd)
	return cmd
}

func (a *app) serve(f *serveFlags) error {
	trim.Startup()
	if len(f.stacks) == 0 {
		return errors.New("no stack: name at least one folder with -stack")
	}
	if f.interval < time.Second {
		return errors.New("-interval must be at least 1s")
	}
	process, err := a.process()
	if err != nil {
		return err
	}
	folders, err := reconcile.NewFolders(f.stacks, f.vars, f.varFiles)
	if err != nil {
		return err
	}
	listener, tokens, secure, err := f.api()
	if err != nil {
		return err
	}
	if len(f.hooks.declared) > 0 && f.hooks.listen == "" && (listener == nil || listener.Addr().Network() == "unix") {
		return errors.New("-hook: no host can call a Unix socket: give -hook-listen=HOST:PORT, or -listen=HOST:PORT")
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
	loop := reconcile.New(reconcile.Options{
		Stacks: folders, Process: process, Interval: f.interval, Parallel: f.parallel, Grace: f.grace, Who: whoami(), Log: log,
	})
	webhooks, err := f.hooks.handler(loop, log, os.Getenv)
	if err != nil {
		return err
	}
	go folders.Run(a.soft, time.Second)
	served := make(chan error, 1)
	serving, end := context.WithCancel(a.hard)
	defer end()
	certificate, err := f.certificate()
	if err != nil {
		return err
	}
	hooked, err := f.hooks.serve(serving, webhooks, certificate)
	if err != nil {
		return err
	}
	if listener != nil {
		o := server.Options{Loop: loop, Version: version, Tokens: tokens, Log: log}
		if webhooks != nil && hooked == nil {
			o.Hooks = webhooks
		}
		go func() { served <- server.New(o).Serve(serving, listener, secure) }()
		log.Info("davit serves", "version", version, "stacks", len(f.stacks), "api", listener.Addr().String())
	} else {
		served <- nil
		log.Info("davit serves", "version", version, "stacks", len(f.stacks))
	}
	err = loop.Run(a.soft, a.hard)
	end() // the API answers until the last operation has ended
	err = errors.Join(err, <-served)
	if hooked != nil {
		err = errors.Join(err, <-hooked)
	}
	log.Info("davit has ended")
	return err
}

// socketName is where the API of a stack is, in davit's own folder of the stack.
var socketName = filepath.Join(".davit", "serve.sock")

// longestSocket is how long the path of a Unix socket may be.
const longestSocket = 100

// api opens the listener of the API. It is nil if there is none.
func (f *serveFlags) api() (net.Listener, *server.Tokens, *tls.Config, error) {
	if f.listen == "off" {
		return nil, nil, nil, nil
	}
	address := f.listen
	if address == "" {
		dir, err := filepath.Abs(f.stacks[0])
		if err != nil {
			return nil, nil, nil, err
		}
		if err := os.MkdirAll(filepath.Join(dir, ".davit"), 0o700); err != nil {
			return nil, nil, nil, err
		}
		address = "unix:" + filepath.Join(dir, socketName)
	}
	if path, is := strings.CutPrefix(address, "unix:"); is {
		l, err := listenUnix(path)
		return l, nil, nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("-listen: %w. Use unix:PATH or HOST:PORT", err)
	}
	if f.tokens == "" {
		return nil, nil, nil, errors.New("-listen=HOST:PORT needs -tokens: nobody may call without a token")
	}
	tokens, err := server.ReadTokens(f.tokens)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("-tokens: %w", err)
	}
	secure, err := f.certificate()
	if err != nil {
		return nil, nil, nil, err
	}
	if ip := net.ParseIP(host); secure == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, nil, nil, fmt.Errorf("-listen=%s would send tokens in clear: give -tls-cert and -tls-key, or listen on 127.0.0.1", address)
	}
	l, err := net.Listen("tcp", address)
	return l, tokens, secure, err
}

// certificate reads the certificate that is served. It is nil if there is none.
func (f *serveFlags) certificate() (*tls.Config, error) {
	if f.tlsCert == "" && f.tlsKey == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(f.tlsCert, f.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// listenUnix opens a socket that only its owner can use. One that a killed process has left behind is replaced.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > longestSocket {
		return nil, fmt.Errorf("the path of the socket %s is too long for the system: give a shorter one with -listen=unix:PATH", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another davit serves at %s already", path)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there already and is no socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	before := syscall.Umask(0o177) // so that nobody else can open it for a moment
	defer syscall.Umask(before)
	return net.Listen("unix", path)
}
