package git

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

func hostOfURL(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// The token of the environment goes to the host that it is for, and nowhere else.
func TestTheTokenOfTheEnvironmentIsForOneHost(t *testing.T) {
	const token = "s3cr3t-t0ken"
	t.Setenv("HOME", t.TempDir())
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, token)
	t.Setenv(tokenVariable, token)
	for host, want := range map[string]string{
		"":                  "set " + hostVariable + "=" + hostOfURL(t, s.URL),
		"git.example.com":   "it is not sent to " + hostOfURL(t, s.URL),
		"127.0.0.1":         "it is not sent to",
		hostOfURL(t, s.URL): "",
	} {
		t.Setenv(hostVariable, host)
		_, err := observe(t, Config{URL: s.url(r)}, nil)
		if want == "" {
			if err != nil {
				t.Errorf("the host that the token is for: %v", err)
			}
			continue
		}
		wantError(t, err, "refused the credentials", want)
	}
}

// Nothing is sent without encryption to another machine.
func TestNoTokenGoesOverPlainHTTP(t *testing.T) {
	t.Setenv(tokenVariable, "s3cr3t-t0ken")
	for raw, sent := range map[string]bool{
		"http://git.example.com/a.git": false, "http://10.0.0.1/a.git": false, "https://git.example.com/a.git": true, "http://127.0.0.1:3000/a.git": true,
		"http://localhost/a.git": true, "http://[::1]:3000/a.git": true, "HTTP://git.example.com/a.git": false,
	} {
		e, err := transport.NewEndpoint(raw)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(hostVariable, hostOf(e))
		k, err := credentialsFor(Config{URL: raw}, e, nil)
		if err != nil || (k.auth != nil) != sent || (k.kept == "") != sent {
			t.Errorf("%s: %v, kept back because %q, %v", raw, k.auth, k.kept, err)
		}
		if _, err := credentialsFor(Config{URL: raw, Token: "t0ken"}, e, nil); (err == nil) != sent {
			t.Errorf("token for %s: %v", raw, err)
		}
		if k.auth = nil; !sent && k.later(t.Context()) != nil {
			t.Errorf("%s gets credentials when it asks for them", raw)
		}
	}
}

// A host that leads on to another one does not get the token sent there.
func TestTheTokenDoesNotFollowARedirect(t *testing.T) {
	const token = "s3cr3t-t0ken"
	var mu sync.Mutex
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Header))
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.String(), http.StatusFound)
	}))
	defer first.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv(tokenVariable, token)
	t.Setenv(hostVariable, hostOfURL(t, first.URL))
	for _, c := range []Config{{URL: first.URL + "/a.git"}, {URL: first.URL + "/a.git", Token: token}} {
		if _, err := observe(t, c, nil); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%v", err)
		}
	}
	if len(seen) == 0 || strings.Contains(strings.Join(seen, " "), "Authorization") {
		t.Errorf("the other host was sent %v", seen)
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestNetrc(t *testing.T) {
	const token = "s3cr3t-t0ken"
	home := t.TempDir()
	t.Setenv("HOME", home)
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, token)
	write(t, filepath.Join(home, ".netrc"), "machine git.example.com login x password wrong\nmachine 127.0.0.1\n  login ada\n  password "+token+"\n", 0o600)
	if o := must(t, Config{URL: s.url(r)}, nil); o.Subject != "First" {
		t.Errorf("%+v", o)
	}
	for text, want := range map[string]string{
		"machine h login a password b":                                              "a b",
		"machine other login a password b":                                          "",
		"default login a password b":                                                "",
		"machine other login x password y machine H login a account z password b":   "a b",
		"machine h login a password b default login x password y":                   "a b",
		"machine other macdef init\n":                                               "",
		"macdef init\nmachine h login x password y\n\nmachine h login a password b": "a b",
		"# machine h login x password y\nmachine h login a password b":              "a b",
		"machine": "", "machine h login": "",
	} {
		got := ""
		if auth := parseNetrc(text, "h"); auth != nil {
			got = strings.TrimSpace(auth.Username + " " + auth.Password)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A helper is asked only when the user's own Git configuration names it, for its host, and gets no arguments but Git's.
func TestCredentialHelpers(t *testing.T) {
	const token = "s3cr3t-t0ken"
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "gitconfig"))
	t.Setenv(tokenVariable, "another-t0ken")
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, token)
	helper, log := filepath.Join(home, "helper"), filepath.Join(home, "log")
	write(t, helper, "#!/bin/sh\necho \"$@\" \"$DAVIT_GIT_TOKEN\" >>"+log+"\ncat >>"+log+"\necho username=ada\necho password="+token+"\n", 0o700)
	write(t, filepath.Join(home, "gitconfig"), "", 0o600)
	_, err := observe(t, Config{URL: s.url(r)}, nil)
	wantError(t, err, "refused the credentials")
	write(t, filepath.Join(home, "gitconfig"), "[credential \"https://git.example.com\"]\n\thelper = "+helper+"\n", 0o600)
	_, err = observe(t, Config{URL: s.url(r)}, nil)
	wantError(t, err, "refused the credentials")
	if _, err := os.Stat(log); err == nil {
		t.Error("the helper of another host was asked")
	}
	write(t, filepath.Join(home, "gitconfig"), "[credential]\n\thelper = "+helper+"\n", 0o600)
	if o := must(t, Config{URL: s.url(r)}, nil); o.Subject != "First" {
		t.Errorf("%+v", o)
	}
	told, err := os.ReadFile(log)
	if err != nil || strings.Contains(string(told), "t0ken") || !strings.Contains(string(told), "host="+hostOfURL(t, s.URL)) {
		t.Errorf("the helper was told %q, %v", told, err)
	}
	// A helper that waits is not waited for longer than the source may take.
	write(t, helper, "#!/bin/sh\nexec sleep 30\n", 0o700)
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if auth := (credentials{host: hostOfURL(t, s.URL), scheme: "http"}).later(ctx); auth != nil {
		t.Error(auth)
	}
}

// URLs with credentials are refused however they are written, and not repeated.
func TestURLsWithCredentialsAreRefused(t *testing.T) {
	for _, raw := range []string{
		"https://ada:s3cr3t@git.example.com/a.git", "HTTP://ada:s3cr3t@git.example.com/a.git", "hTTps://s3cr3t@git.example.com/a.git",
		"ssh://git:s3cr3t@git.example.com/a.git", "https://git.example.com/a.git?private_token=s3cr3t", "https://git.example.com/a.git?x=y&Access_Token=s3cr3t",
	} {
		_, err := observe(t, Config{URL: raw}, nil)
		if err == nil || !strings.Contains(err.Error(), "use username and token") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
