package eval

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// mark is the type of the marks that values carry.
type mark string

// Sensitive marks a value that must not be shown or stored.
const Sensitive = mark("sensitive")

// Functions returns the functions of the language. Files are read relative to dir and not outside of it.
func Functions(dir string) map[string]function.Function {
	return map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "base64decode": base64Decode, "base64encode": base64Encode, "can": tryfunc.CanFunc, "ceil": stdlib.CeilFunc,
		"chomp": stdlib.ChompFunc, "chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc,
		"coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc,
		"contains": stdlib.ContainsFunc, "csvdecode": stdlib.CSVDecodeFunc, "distinct": stdlib.DistinctFunc,
		"element": stdlib.ElementFunc, "endswith": affix("endswith", strings.HasSuffix), "file": fileFunc(dir), "filesha256": fileHash(dir),
		"flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc, "format": stdlib.FormatFunc,
		"formatdate": stdlib.FormatDateFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc,
		"index": stdlib.IndexFunc, "join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc,
		"jsonencode": stdlib.JSONEncodeFunc, "keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "log": stdlib.LogFunc,
		"lookup": stdlib.LookupFunc, "lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc,
		"min": stdlib.MinFunc, "nonsensitive": nonsensitive, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc,
		"range": stdlib.RangeFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,
		"regexreplace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc, "reverse": stdlib.ReverseListFunc,
		"sensitive": sensitive, "setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc,
		"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "sha256": sha256Func, "signum": stdlib.SignumFunc,
		"slice": stdlib.SliceFunc, "slug": slug, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc,
		"startswith": affix("startswith", strings.HasPrefix), "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "timeadd": stdlib.TimeAddFunc,
		"title": stdlib.TitleFunc, "tobool": to(cty.Bool), "tolist": to(cty.List(cty.DynamicPseudoType)),
		"tomap": to(cty.Map(cty.DynamicPseudoType)), "tonumber": to(cty.Number), "toset": to(cty.Set(cty.DynamicPseudoType)),
		"tostring": to(cty.String), "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "try": tryfunc.TryFunc,
		"upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc, "yamldecode": ctyyaml.YAMLDecodeFunc,
		"yamlencode": ctyyaml.YAMLEncodeFunc, "zipmap": stdlib.ZipmapFunc,
	}
}

// to makes the function that converts to a type, as tostring and its like do.
func to(want cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if args[0].Type() == cty.DynamicPseudoType {
				return cty.DynamicPseudoType, nil
			}
			v, err := convert.Convert(args[0], want)
			if err != nil {
				return cty.NilType, function.NewArgErrorf(0, "this %s cannot be converted to %s", args[0].Type().FriendlyName(), want.FriendlyNameForConstraint())
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) { return convert.Convert(args[0], t) },
	})
}

func stringFunc(name string, f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Description: name,
		Params:      []function.Parameter{{Name: "s", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

func affix(name string, f func(s, affix string) bool) function.Function {
	return function.New(&function.Spec{
		Description: name,
		Params:      []function.Parameter{{Name: "s", Type: cty.String}, {Name: "affix", Type: cty.String}},
		Type:        function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

var (
	base64Encode = stringFunc("base64encode", func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil })
	base64Decode = stringFunc("base64decode", func(s string) (string, error) {
		b, err := base64.StdEncoding.DecodeString(s)
		return string(b), err
	})
	sha256Func = stringFunc("sha256", func(s string) (string, error) {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), nil
	})
	notDNS = regexp.MustCompile(`[^a-z0-9]+`)
	// slug follows RFC 1123: a label of at most 63 lower-case letters, digits and dashes.
	slug = stringFunc("slug", func(s string) (string, error) {
		out := strings.Trim(notDNS.ReplaceAllString(strings.ToLower(s), "-"), "-")
		if len(out) > 63 {
			out = strings.TrimRight(out[:63], "-")
		}
		if out == "" {
			return "", fmt.Errorf("nothing of %q can be part of a host name", s)
		}
		return out, nil
	})
)

// readConfined reads a file of the stack's folder.
func readConfined(dir, name string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	b, err := root.ReadFile(filepath.Clean(name))
	return string(b), err
}

func fileFunc(dir string) function.Function {
	return stringFunc("file", func(name string) (string, error) { return readConfined(dir, name) })
}

func fileHash(dir string) function.Function {
	return stringFunc("filesha256", func(name string) (string, error) {
		s, err := readConfined(dir, name)
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), err
	})
}

func marker(impl func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return impl(args[0]), nil },
	})
}

var (
	sensitive    = marker(func(v cty.Value) cty.Value { return v.Mark(Sensitive) })
	nonsensitive = marker(func(v cty.Value) cty.Value {
		u, _ := v.Unmark()
		return u
	})
)
