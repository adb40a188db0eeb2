package functions

import (
	"crypto/md5"  //nolint:gosec // filemd5: what others have computed is compared, nothing is protected
	"crypto/sha1" //nolint:gosec // filesha1, as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxFile bounds what a function reads: larger files are not for expressions.
const maxFile = 64 << 20

// folders are where files are read: relative to the first, and in none but these.
type folders []string

// open opens the folder that a file is in, and tells the file's name in it. The way to the file cannot
// leave that folder, by symlinks either.
func (f folders) open(name string) (*os.Root, string, error) {
	full := name
	if !filepath.IsAbs(full) {
		full = filepath.Join(f[0], name)
	}
	for _, dir := range f {
		if rel, err := filepath.Rel(dir, full); err == nil && filepath.IsLocal(rel) {
			root, err := os.OpenRoot(dir)
			return root, rel, err
		}
	}
	return nil, "", function.NewArgErrorf(0, "the path escapes from the stack's folder")
}

func (f folders) read(name string) ([]byte, error) {
	root, name, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, function.NewArgErrorf(0, "no such file: %s", name)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() || info.Size() > maxFile {
		return nil, function.NewArgErrorf(0, "this is a folder, or a file of more than %d bytes", maxFile)
	}
	return root.ReadFile(name)
}

func files(in folders) map[string]function.Function {
	hashed := func(description string, make func() hash.Hash, encode func([]byte) string) function.Function {
		return oneText(description, func(name string) (string, error) {
			b, err := in.read(name)
			if err != nil {
				return "", err
			}
			h := make()
			h.Write(b)
			return encode(h.Sum(nil)), nil
		})
	}
	return map[string]function.Function{
		"file": oneText("The text of a file of the stack's folder.", func(name string) (string, error) {
			b, err := in.read(name)
			if err == nil && !utf8.Valid(b) {
				err = function.NewArgErrorf(0, "the file is not text in UTF-8; use filebase64")
			}
			return string(b), err
		}),
		"filebase64": oneText("The content of a file, in base64.", func(name string) (string, error) {
			b, err := in.read(name)
			return base64.StdEncoding.EncodeToString(b), err
		}),
		"fileexists": function.New(&function.Spec{
			Description: "Whether the stack's folder contains the file.",
			Params:      []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				root, name, err := in.open(args[0].AsString())
				if err != nil {
					return cty.NilVal, err
				}
				defer root.Close()
				info, err := root.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					return cty.False, nil
				}
				return cty.BoolVal(err == nil && info.Mode().IsRegular()), err
			},
		}),
		"fileset":          fileSet(in),
		"filemd5":          hashed("The MD5 of a file, in hexadecimal.", md5.New, hex.EncodeToString),
		"filesha1":         hashed("The SHA-1 of a file, in hexadecimal.", sha1.New, hex.EncodeToString),
		"filesha256":       hashed("The SHA-256 of a file, in hexadecimal.", sha256.New, hex.EncodeToString),
		"filesha512":       hashed("The SHA-512 of a file, in hexadecimal.", sha512.New, hex.EncodeToString),
		"filebase64sha256": hashed("The SHA-256 of a file, in base64.", sha256.New, base64.StdEncoding.EncodeToString),
		"filebase64sha512": hashed("The SHA-512 of a file, in base64.", sha512.New, base64.StdEncoding.EncodeToString),
	}
}

// maxFiles is how many names fileset gives at most.
const maxFiles = 100_000

func fileSet(in folders) function.Function {
	return function.New(&function.Spec{
		Description: "The files below a folder that match a pattern; ** matches any folders.",
		Params:      []function.Parameter{{Name: "folder", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:        function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			root, name, err := in.open(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			defer root.Close()
			below, err := root.OpenRoot(name)
			if err != nil {
				return cty.NilVal, err
			}
			defer below.Close()
			names, err := doublestar.Glob(below.FS(), args[1].AsString(), doublestar.WithFilesOnly(), doublestar.WithNoFollow())
			switch {
			case err != nil:
				return cty.NilVal, function.NewArgErrorf(1, "this is not a pattern")
			case len(names) > maxFiles:
				return cty.NilVal, function.NewArgErrorf(1, "more than %d files match", maxFiles)
			case len(names) == 0:
				return cty.SetValEmpty(cty.String), nil
			}
			slices.Sort(names)
			vals := make([]cty.Value, len(names))
			for i, n := range names {
				vals[i] = cty.StringVal(n)
			}
			return cty.SetVal(vals), nil
		},
	})
}
