package functions

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"net/url"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
)

var (
	base64sha256 = oneText("The SHA-256 of a text, in base64.", func(s string) (string, error) {
		sum := sha256.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:]), nil
	})
	base64sha512 = oneText("The SHA-512 of a text, in base64.", func(s string) (string, error) {
		sum := sha512.Sum512([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:]), nil
	})

	base64Decode = oneText("Decodes base64 (RFC 4648, section 4). The text must be UTF-8.", func(s string) (string, error) {
		b, err := fromBase64(s)
		if err != nil {
			return "", err
		}
		return inUTF8(b)
	})
	base64Gzip = oneText("A text compressed with gzip, in base64.", func(s string) (string, error) {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s)) // a buffer takes everything
		// The flush is for the exact bytes of Terraform's result.
		_ = w.Flush()
		_ = w.Close()
		return base64.StdEncoding.EncodeToString(b.Bytes()), nil
	})
	base64Gunzip = oneText("Decodes base64 and decompresses the gzip data. The text must be UTF-8.", func(s string) (string, error) {
		packed, err := fromBase64(s)
		if err != nil {
			return "", err
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return "", function.NewArgErrorf(0, "this is not gzip")
		}
		b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
		switch {
		case err != nil:
			return "", function.NewArgErrorf(0, "the gzip data is damaged or cut off")
		case len(b) > maxFile:
			return "", function.NewArgErrorf(0, "the text is longer than %d bytes", maxFile)
		}
		return inUTF8(b)
	})

	urlDecode = oneText("Decodes a URL-encoded text: %XX is a byte, + a space.", func(s string) (string, error) {
		out, err := url.QueryUnescape(s)
		if err != nil {
			return "", function.NewArgErrorf(0, "a %% is not followed by two hexadecimal digits")
		}
		return inUTF8([]byte(out))
	})

	textEncodeBase64 = inCharset("A text in another character encoding (its IANA name, such as UTF-16LE), in base64.", "text",
		func(s string, e encoding.Encoding) (string, error) {
			b, err := e.NewEncoder().Bytes([]byte(s))
			if err != nil {
				return "", function.NewArgErrorf(0, "the encoding lacks a character of the text")
			}
			return base64.StdEncoding.EncodeToString(b), nil
		})
	textDecodeBase64 = inCharset("Decodes base64 of a text in another character encoding (its IANA name, such as UTF-16LE).", "source",
		func(s string, e encoding.Encoding) (string, error) {
			b, err := fromBase64(s)
			if err != nil {
				return "", err
			}
			if b, err = e.NewDecoder().Bytes(b); err != nil || bytes.ContainsRune(b, utf8.RuneError) {
				return "", function.NewArgErrorf(0, "the data has bytes that are invalid in the encoding")
			}
			return string(b), nil
		})
)

// fromBase64 decodes base64. Its error shows nothing of the text, which may be secret.
func fromBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, function.NewArgErrorf(0, "this is not base64")
	}
	return b, nil
}

func inUTF8(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", function.NewArgErrorf(0, "the result is not text in UTF-8")
	}
	return string(b), nil
}

// inCharset makes a function of a text and the IANA name of a character encoding.
func inCharset(description, param string, f func(string, encoding.Encoding) (string, error)) function.Function {
	return function.New(&function.Spec{
		Description: description,
		Params:      []function.Parameter{{Name: param, Type: cty.String}, {Name: "encoding", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			e, err := ianaindex.IANA.Encoding(args[1].AsString())
			if err != nil || e == nil {
				return cty.NilVal, function.NewArgErrorf(1, "this is not the IANA name of a supported character encoding")
			}
			s, err := f(args[0].AsString(), e)
			return cty.StringVal(s), err
		},
	})
}
