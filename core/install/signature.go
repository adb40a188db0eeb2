package install

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Signature is one signature of a release, in the form of cosign: simple signing.
type Signature struct {
	Payload   []byte `json:"payload"` // what was signed, JSON that names the digest
	Signature []byte `json:"signature"`
}

// Key verifies signatures.
type Key struct {
	Fingerprint string // "sha256:<hex>" of the key in DER form
	public      crypto.PublicKey
}

const minRSA = 2048 // bits

// ParseKey reads a public key in PEM form: ECDSA, Ed25519 or RSA. Its error does not repeat the text.
func ParseKey(text string) (*Key, error) {
	const hint = "cosign generate-key-pair writes one, cosign.pub."
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		return nil, refuse(hint, "it is not a public key in PEM form (-----BEGIN PUBLIC KEY-----)")
	}
	if strings.Contains(block.Type, "PRIVATE") {
		return nil, refuse("Keep the private key secret. Name the public key here.", "it is a private key")
	}
	if strings.TrimSpace(string(rest)) != "" {
		return nil, refuse("", "it contains more than one key, or text after the key")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, refuse(hint, "it is not a public key: %s", err)
	}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return nil, refuse(hint, "an ECDSA key on the curve %s is too weak", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, refuse(hint, "an RSA key of %d bits is too weak: at least %d", k.N.BitLen(), minRSA)
		}
	default:
		return nil, refuse(hint, "a key of the type %T is not supported: use ECDSA, Ed25519 or RSA", public)
	}
	sum := sha256.Sum256(block.Bytes)
	return &Key{Fingerprint: "sha256:" + hex.EncodeToString(sum[:]), public: public}, nil
}

// signed tells whether the key has made a signature over a payload.
func (k *Key) signed(payload, signature []byte) bool {
	sum := sha256.Sum256(payload)
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, sum[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(public, payload, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}

// Verify tells whether the key has signed a digest, and if not, why no signature counts.
func (k *Key) Verify(digest string, all []Signature) error {
	if len(all) == 0 {
		return refuse("To use it anyway, remove public_key.", "it is not signed, but the stack requires a signature by its public_key")
	}
	const hint = "Use a version that its authors have signed. If they have a new key, get it from them directly, not from the registry."
	problem := "it is signed by another key than public_key"
	for _, s := range all {
		if !k.signed(s.Payload, s.Signature) {
			continue
		}
		of, err := signedDigest(s.Payload)
		if err == nil && of == digest {
			return nil
		}
		problem = fmt.Sprintf("its signature is by the right key, but signs something else: %q", of)
		if err != nil {
			problem = "its signature is by the right key, but does not sign a digest: " + err.Error()
		}
	}
	return refuse(hint, "%s", problem)
}

const simpleSigning = "cosign container image signature"

// signedDigest reads what a payload is about. The names in it are not looked at: a copy in a mirror has another.
func signedDigest(payload []byte) (string, error) {
	var p struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return "", errors.New("it is not JSON")
	}
	if p.Critical.Type != simpleSigning {
		return "", fmt.Errorf("its type is %q", p.Critical.Type)
	}
	return p.Critical.Image.Digest, nil
}
