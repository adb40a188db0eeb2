// Package functions is the function library of the language: that of Terraform's as far as it makes sense in a plan, from
// the published sets, and what delivery needs besides: versions, image references, names. All functions are pure, but for
// those that read files of the stack's own folder.
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
)

// All returns the functions by name. Files are read relative to dir, and not outside of it and of
// the folders in also.
func All(dir string, also ...string) map[string]function.Function {
	in := append(folders{dir}, also...)
	all := pure()
	maps.Copy(all, files(in))
	all["templatefile"] = templateFile(in, all)
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
		"alltrue": every, "anytrue": some, "chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc,
		"coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "index": stdlib.IndexFunc,
		"keys": stdlib.KeysFunc, "length": length, "lookup": lookup, "matchkeys": matchKeys, "merge": stdlib.MergeFunc,
		"one": one, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": setProduct, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc,
		"sort": stdlib.SortFunc, "transpose": transpose, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
		// encodings and hashes
		"base64decode": encoding.Base64DecodeFunc, "base64encode": encoding.Base64EncodeFunc, "base64sha256": base64sha256, "base64sha512": base64sha512,
		"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"md5": crypto.Md5Func, "sha1": crypto.Sha1Func, "sha256": crypto.Sha256Func, "sha512": crypto.Sha512Func,
		"urlencode": encoding.URLEncodeFunc, "uuidv5": uuid.V5Func, "yamldecode": ctyyaml.YAMLDecodeFunc, "yamldecode_all": yamlDecodeAll,
		"yamlencode": ctyyaml.YAMLEncodeFunc, "yamlencode_all": yamlEncodeAll,
		// dates
		"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc, "timecmp": timeCmp,
		// networks
		"cidrhost": cidr.HostFunc, "cidrnetmask": cidr.NetmaskFunc, "cidrsubnet": cidr.SubnetFunc, "cidrsubnets": cidr.SubnetsFunc,
		// versions and images
		"semver_bump": semverBump, "semver_compare": semverCompare, "semver_latest": semverLatest, "semver_matches": semverMatches,
		"semver_parse": semverParse, "semver_sort": semverSort, "semver_valid": semverValid, "image_ref": imageRef, "image_with": imageWith,
		// types and marks
		"can": tryfunc.CanFunc, "issensitive": isSensitive, "nonsensitive": nonsensitive, "sensitive": sensitive, "tobool": to(cty.Bool),
		"tolist": to(cty.List(cty.DynamicPseudoType)), "tomap": to(cty.Map(cty.DynamicPseudoType)), "tonumber": to(cty.Number),
		"toset": to(cty.Set(cty.DynamicPseudoType)), "tostring": to(cty.String), "try": tryfunc.TryFunc,
		// paths
		"basename": basename, "dirname": dirname,
	}
}
