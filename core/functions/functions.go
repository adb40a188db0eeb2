// Package functions is the function library of the language: Terraform's deterministic functions under their names and
// with their meaning, and the library's own functions for versions, image references and names. No function has an effect.
// The functions that read files read only the folders that the library was made for.
package functions

import (
	"maps"

	"github.com/hashicorp/go-cty-funcs/cidr"
	"github.com/hashicorp/go-cty-funcs/crypto"
	"github.com/hashicorp/go-cty-funcs/encoding"
	"github.com/hashicorp/go-cty-funcs/uuid"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/davit-sh/davit/core/limit"
)

// Folders are the folders that functions know.
type Folders struct {
	Module string   // the module's own folder; relative paths of files start here
	Also   []string // further folders whose files may be read
	Stack  string   // abspath starts here; "" stands for Module
	// Limit makes the limit of one evaluation of a template. nil stands for limit.New(nil).
	Limit func() *limit.Limit
}

// All returns the functions by name.
func All(in Folders) map[string]function.Function {
	if in.Stack == "" {
		in.Stack = in.Module
	}
	if in.Limit == nil {
		in.Limit = func() *limit.Limit { return limit.New(nil) }
	}
	readable := append(folders{in.Module}, in.Also...)
	all := pure()
	files := files(readable)
	maps.Copy(all, files)
	all["abspath"] = absPath(in.Stack)
	templates := templateLibrary{plain: maps.Clone(all), files: files, limit: in.Limit}
	all["templatefile"] = templates.file(readable)
	all["templatestring"] = templates.text()
	return all
}

func pure() map[string]function.Function {
	return map[string]function.Function{
		// numbers
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc, "max": stdlib.MaxFunc,
		"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc, "sum": sum,
		// strings
		"chomp": stdlib.ChompFunc, "endswith": endsWith, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc,
		"indent": stdlib.IndentFunc, "join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "regex": stdlib.RegexFunc,
		"regexall": stdlib.RegexAllFunc, "regexreplace": stdlib.RegexReplaceFunc, "replace": replace, "split": stdlib.SplitFunc,
		"startswith": startsWith, "strcontains": contains, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc,
		"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc,
		"trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc, "glob_match": globMatch, "slug": slug,
		// collections
		"alltrue": every, "anytrue": some, "chunklist": stdlib.ChunklistFunc, "coalesce": coalesce,
		"coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"deepmerge": deepMerge, "distinct": distinct, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "index": index,
		"keys": stdlib.KeysFunc, "length": length, "lookup": lookup, "matchkeys": matchKeys, "merge": stdlib.MergeFunc,
		"one": one, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": setProduct, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "transpose": transpose, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
		// encodings and hashes
		"base64decode": base64Decode, "base64encode": encoding.Base64EncodeFunc, "base64gunzip": base64Gunzip, "base64gzip": base64Gzip,
		"base64sha256": base64sha256, "base64sha512": base64sha512,
		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": encoder(stdlib.JSONEncodeFunc),
		"md5": crypto.Md5Func, "sha1": crypto.Sha1Func, "sha256": crypto.Sha256Func, "sha512": crypto.Sha512Func,
		"textdecodebase64": textDecodeBase64, "textencodebase64": textEncodeBase64,
		"urldecode": urlDecode, "urlencode": encoding.URLEncodeFunc, "uuidv5": uuid.V5Func, "yamldecode": ctyyaml.YAMLDecodeFunc, "yamldecode_all": yamlDecodeAll,
		"yamlencode": encoder(ctyyaml.YAMLEncodeFunc), "yamlencode_all": yamlEncodeAll,
		// dates
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc, "timecmp": timeCmp,
		// networks
		"cidrcontains": cidrContains, "cidrhost": cidrHost, "cidrnetmask": cidrNetmask, "cidrsubnet": cidrSubnet, "cidrsubnets": cidr.SubnetsFunc,
		// versions and images
		"semver_bump": semverBump, "semver_compare": semverCompare, "semver_latest": semverLatest, "semver_matches": semverMatches,
		"semver_parse": semverParse, "semver_sort": semverSort, "semver_valid": semverValid, "image_ref": imageRef, "image_with": imageWith,
		// types and marks
		"can": tryfunc.CanFunc, "convert": convertTo(), "issensitive": isSensitive, "nonsensitive": nonsensitive, "sensitive": sensitive, "tobool": to(cty.Bool),
		"tolist": to(cty.List(cty.DynamicPseudoType)), "tomap": to(cty.Map(cty.DynamicPseudoType)), "tonumber": to(cty.Number),
		"toset": to(cty.Set(cty.DynamicPseudoType)), "tostring": to(cty.String), "try": tryfunc.TryFunc,
		// paths
		"basename": basename, "dirname": dirname, "pathexpand": pathExpand,
	}
}
