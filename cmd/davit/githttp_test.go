package main

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// githttp FOLDER PASSWORD serves the repositories in a folder over HTTP, to who knows the password, and sets $GITHOST. The users that come, with
// a password or without, are in the file git.log.
func startGitHTTP(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.Command("git", "--exec-path").Output()
	ts.Check(err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + ts.MkAbs(args[0]), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
	log, err := os.OpenFile(ts.MkAbs("git.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, sent := r.BasicAuth()
		mu.Lock()
		line := "nobody\n"
		if sent {
			line = user + " with " + map[bool]string{true: "the password", false: "another one"}[password == args[1]] + "\n"
		}
		_, _ = log.WriteString(line)
		mu.Unlock()
		if password != args[1] {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	ts.Defer(func() { server.Close(); log.Close() })
	ts.Setenv("GITHOST", strings.TrimPrefix(server.URL, "http://"))
	ts.Setenv("DAVIT_VAR_host", ts.Getenv("GITHOST"))
}

// lock-registry USER PASSWORD makes a door before the registry at $REGISTRY, which opens for that login, and sets $LOCKED to its address.
func lockRegistry(ts *testscript.TestScript, _ bool, args []string) {
	inner := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: ts.Getenv("REGISTRY")})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != args[0] || password != args[1] {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	ts.Setenv("LOCKED", strings.TrimPrefix(server.URL, "http://"))
	ts.Setenv("DAVIT_VAR_locked", ts.Getenv("LOCKED"))
}

// fill-in FILE OLD NEW replaces a text in a file.
func fillIn(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}
