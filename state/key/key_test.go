package key_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-sh/davit/state/key"
)

func TestAKeyIsMadeOnceAndOnlyForItsOwner(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".davit", "state.key")
	one, err := key.Find(file)
	if err != nil {
		t.Fatal(err)
	}
	two, err := key.Find(file)
	if err != nil {
		t.Fatal(err)
	}
	if one.Fingerprint("a", []byte("x")) != two.Fingerprint("a", []byte("x")) {
		t.Error("the key is another one the second time")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

func TestFingerprints(t *testing.T) {
	t.Setenv(key.Env, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	k, err := key.Find("/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	a := k.Fingerprint("password", []byte("hunter2"))
	if parts := strings.Split(a, ":"); len(parts) != 3 || parts[0] != "hmac-sha256" || strings.Contains(a, "hunter2") {
		t.Errorf("the fingerprint is %q", a)
	}
	for _, other := range []string{k.Fingerprint("password", []byte("hunter3")), k.Fingerprint("passwor", []byte("dhunter2"))} {
		if other == a {
			t.Error("two values have the same fingerprint")
		}
	}
	t.Setenv(key.Env, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("j", 32))))
	j, err := key.Find("/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if b := j.Fingerprint("password", []byte("hunter2")); strings.Split(b, ":")[1] == strings.Split(a, ":")[1] {
		t.Error("two keys have the same name")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Setenv(key.Env, "hunter2")
	if _, err := key.Find("/nowhere"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if got := key.Lazy("/nowhere")("a", nil); got != "" {
		t.Errorf("a fingerprint without a key: %q", got)
	}
}
