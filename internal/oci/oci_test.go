package oci

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRepositoryUsesPlainHTTPForThisMachineOnlyUnlessAsked(t *testing.T) {
	for _, tt := range []struct {
		repository string
		insecure   bool
		plain      bool
	}{
		{"localhost:5000/app", false, true},
		{"localhost/app", false, true},
		{"registry.localhost:5000/app", false, true},
		{"127.0.0.1:5000/app", false, true},
		{"127.0.0.2:5000/app", false, true},
		{"[::1]:5000/app", false, true},
		{"registry.example.com/app", false, false},
		{"registry.example.com/app", true, true},
		{"localhost.example.com:5000/app", false, false},
		{"acme/app", false, false},
	} {
		repo, err := Repository(tt.repository, tt.insecure)
		if err != nil {
			t.Errorf("%s: %v", tt.repository, err)
			continue
		}
		if got := repo.Scheme() == "http"; got != tt.plain {
			t.Errorf("%s (insecure %v): plain HTTP %v", tt.repository, tt.insecure, got)
		}
	}
}

func TestRepositoryRefusesWhatIsNoName(t *testing.T) {
	for repository, says := range map[string]string{
		"":                               "must be specified",
		"registry.example.com/App":       "App",
		"registry.example.com/app:1.0":   "has a tag",
		"https://registry.example.com/a": "leave out https://",
		"a@sha256:abc":                   "without a digest",
		"user:hunter2@example.com/app":   "without credentials",
		"example.com/../etc/passwd\x1b[": "example.com",
	} {
		_, err := Repository(repository, false)
		if repository == "a@sha256:abc" {
			says = "without a digest"
		}
		if err == nil {
			t.Errorf("%q is accepted", repository)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is shown: %v", err)
		}
		if strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("control characters are shown: %q", err)
		}
		if repository != "user:hunter2@example.com/app" && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", repository, err, says)
		}
	}
}

func TestKeyTag(t *testing.T) {
	key := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	tag := KeyTag(key)
	if tag != "davit-0123456789abcdef0123456789abcdef01234567" || !IsKeyTag(tag) || CheckTag(tag) != nil {
		t.Errorf("key tag %q", tag)
	}
	for _, other := range []string{"davit-1.0.0", "davit-", "1.0.0", tag + "0", "v" + tag, strings.ToUpper(tag)} {
		if IsKeyTag(other) {
			t.Errorf("%q is taken for a key tag", other)
		}
	}
}

// What may be a user with a password is not repeated, and neither is a token in an address that a registry sends on to.
func TestErrorsRepeatNoCredentials(t *testing.T) {
	for _, reference := range []string{"ada:hunter2@registry.example.com/base:1", "https://ada:hunter2@registry.example.com/base", "registry.example.com/a@hunter2", "hunter2@sha256@x"} {
		if _, err := Parse(reference, false); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("%s: %v", reference, err)
		}
	}
	if _, err := Parse("registry.example.com/a:1@sha256:"+strings.Repeat("a", 64), false); err != nil {
		t.Error(err)
	}
	err := Diagnose(errors.New(`Get "https://cdn.example.com/blob?X-Amz-Signature=hunter2&token=hunter2": EOF`), "fetching", "registry.example.com/a")
	if strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
