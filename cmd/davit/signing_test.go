package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// sign KEY REPOSITORY:TAG [OF] signs what a tag names, as cosign does, with the key in KEY.key, which is made if it is not
// there, with KEY.pub beside it. With OF, the signature of that tag is put there instead.
func sign(ts *testscript.TestScript, _ bool, args []string) {
	key := signingKey(ts, args[0])
	where, err := name.NewTag(args[1], name.Insecure)
	ts.Check(err)
	what := where
	if len(args) > 2 {
		what = where.Tag(args[2])
	}
	at, err := remote.Head(where)
	ts.Check(err)
	of, err := remote.Head(what)
	ts.Check(err)
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		where.Repository.Name(), of.Digest)
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	ts.Check(err)
	const mediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: static.NewLayer(payload, mediaType), MediaType: mediaType,
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)},
	})
	ts.Check(err)
	ts.Check(remote.Write(where.Tag(strings.Replace(at.Digest.String(), ":", "-", 1)+".sig"), img))
}

// signingKey reads a key, or makes one.
func signingKey(ts *testscript.TestScript, path string) *ecdsa.PrivateKey {
	b, err := os.ReadFile(ts.MkAbs(path + ".key"))
	if err == nil {
		block, _ := pem.Decode(b)
		key, err := x509.ParseECPrivateKey(block.Bytes)
		ts.Check(err)
		return key
	}
	if !errors.Is(err, fs.ErrNotExist) {
		ts.Check(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	private, err := x509.MarshalECPrivateKey(key)
	ts.Check(err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(path+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(path+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
	return key
}
