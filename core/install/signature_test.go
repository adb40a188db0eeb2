package install

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Signatures that others have made are verified, and only for what they are of: those of sigstore's library (v1.10.8,
// packages signature and payload), and one of cosign 2.6.1 (cosign sign --key cosign.key --tlog-upload=false).
func TestSignaturesOfSigstore(t *testing.T) {
	b, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Algorithm, Key, Digest string
		Payload, Signature     []byte
	}
	if err := json.Unmarshal(b, &all); err != nil || len(all) != 4 {
		t.Fatal(len(all), err)
	}
	for i, f := range all {
		key, err := ParseKey(f.Key)
		if err != nil {
			t.Fatal(err)
		}
		other, err := ParseKey(all[(i+1)%len(all)].Key)
		if err != nil {
			t.Fatal(err)
		}
		good := []Signature{{f.Payload, f.Signature}}
		if err := key.Verify(f.Digest, good); err != nil {
			t.Errorf("%s: %v", f.Algorithm, err)
		}
		changed := []byte(strings.Replace(string(f.Payload), "critical", "Critical", 1))
		for want, err := range map[string]error{
			"signs something else: \"" + f.Digest:   key.Verify(digestOf(nil), good),
			"it is signed by another key than":      key.Verify(f.Digest, []Signature{{changed, f.Signature}}),
			"signed by another key than public_key": other.Verify(f.Digest, good),
			"it is not signed, but":                 key.Verify(f.Digest, nil),
			"by another key than public_key":        key.Verify(f.Digest, []Signature{{f.Payload, nil}}),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", f.Algorithm, err, want)
			}
		}
	}
}

// A plugin is used only if the key that the stack names has signed exactly it.
func TestSigned(t *testing.T) {
	for _, kind := range []string{"ecdsa", "ed25519", "rsa"} {
		w := newWorld(t)
		mine, other := newKey(t, kind), newKey(t, kind)
		r := w.require(":1.0.0", "")
		r.Key = mine.key(t)
		digest := w.push("1.0.0", both("1.0.0"))
		w.refused(r, nil, "it is not signed, but the stack requires")
		w.sign(other, digest)
		w.refused(r, nil, "signed by another key than public_key")

		before := w.push("0.9.0", both("0.9.0"))
		old := payloadOf(before, simpleSigning)
		w.pushSignatures(digest, Signature{old, mine.sign(t, old)})
		w.refused(r, nil, "signs something else: \""+before)

		strange := payloadOf(digest, "something else")
		w.pushSignatures(digest, Signature{strange, mine.sign(t, strange)})
		w.refused(r, nil, `its type is "something else"`)
		w.pushSignatures(digest, Signature{[]byte("x"), mine.sign(t, []byte("x"))})
		w.refused(r, nil, "it is not JSON")
		w.pushSignatures(digest, Signature{make([]byte, maxPayload+1), nil})
		w.refused(r, nil, "a signature is larger than")

		// One good signature among others counts.
		p := payloadOf(digest, simpleSigning)
		w.pushSignatures(digest, Signature{p, other.sign(t, p)}, Signature{old, mine.sign(t, old)}, Signature{p, mine.sign(t, p)})
		l := w.install(r, nil)
		if l.PublicKey != r.Key.Fingerprint {
			t.Errorf("%+v", l)
		}
		// A key that comes later is asked for its signature, though all is here.
		r.Key = newKey(t, kind).key(t)
		w.refused(r, &l, "signed by another key than public_key")
		// Signatures that were changed in the cache do not count.
		r.Key = mine.key(t)
		w.check(w.here.Cache.keepSignatures(digest, []Signature{{p, []byte("x")}}))
		w.pushSignatures(digest)
		w.refused(r, &l, "it is not signed")
	}
}

func TestParseKey(t *testing.T) {
	weak := `-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL+a4Z9/0Vy1vLAqyQ8pKqWqY9mZ9tSW
i9qg0TVP2pM6ivwZzM4IYVTcBg8Pv1IYwvGqhlrvSOOz1Oqi0JxtVXUCAwEAAQ==
-----END PUBLIC KEY-----
`
	good := newKey(t, "ed25519").pem
	for want, text := range map[string]string{
		"not a public key in PEM":   "ssh-ed25519 AAAA",
		"private key":               "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n",
		"it is not a public key: ":  "-----BEGIN PUBLIC KEY-----\nMC4=\n-----END PUBLIC KEY-----\n",
		"of 512 bits is too":        weak,
		"more than one key":         good + good,
		"not a public key in PEM f": "",
	} {
		if _, err := ParseKey(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if k, err := ParseKey("\n" + good + "\n"); err != nil || !reDigest().MatchString(k.Fingerprint) {
		t.Errorf("%v %v", k, err)
	}
}
