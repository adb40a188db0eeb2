package functions

import (
	"path"
	"slices"

	"github.com/Masterminds/semver/v3"
	"github.com/distribution/reference"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func version(args []cty.Value, i int) (*semver.Version, error) {
	v, err := semver.NewVersion(args[i].AsString())
	if err != nil {
		return nil, function.NewArgErrorf(i, "this is not a semantic version")
	}
	return v, nil
}

var semverValid = function.New(&function.Spec{
	Description: "Whether a text is a semantic version; a leading v is fine.",
	Params:      []function.Parameter{{Name: "version", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		_, err := version(args, 0)
		return cty.BoolVal(err == nil), nil
	},
})

var parsedVersion = cty.Object(map[string]cty.Type{
	"major": cty.Number, "minor": cty.Number, "patch": cty.Number, "prerelease": cty.String, "metadata": cty.String,
})

var semverParse = function.New(&function.Spec{
	Description: "The parts of a semantic version: major, minor, patch, prerelease, metadata.",
	Params:      []function.Parameter{{Name: "version", Type: cty.String}}, Type: function.StaticReturnType(parsedVersion),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := version(args, 0)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.ObjectVal(map[string]cty.Value{
			"major": cty.NumberUIntVal(v.Major()), "minor": cty.NumberUIntVal(v.Minor()), "patch": cty.NumberUIntVal(v.Patch()),
			"prerelease": cty.StringVal(v.Prerelease()), "metadata": cty.StringVal(v.Metadata()),
		}), nil
	},
})

var semverCompare = function.New(&function.Spec{
	Description: "-1, 0 or 1: whether a version is older than another one, the same, or newer.",
	Params:      []function.Parameter{{Name: "a", Type: cty.String}, {Name: "b", Type: cty.String}}, Type: function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		a, err := version(args, 0)
		if err != nil {
			return cty.NilVal, err
		}
		b, err := version(args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.NumberIntVal(int64(a.Compare(b))), nil
	},
})

func constraint(args []cty.Value, i int) (*semver.Constraints, error) {
	c, err := semver.NewConstraint(args[i].AsString())
	if err != nil {
		return nil, function.NewArgErrorf(i, "this is not a range of versions, such as >=1.2 <2")
	}
	return c, nil
}

var semverMatches = function.New(&function.Spec{
	Description: "Whether a version is in a range.",
	Params:      []function.Parameter{{Name: "version", Type: cty.String}, {Name: "range", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := version(args, 0)
		if err != nil {
			return cty.NilVal, err
		}
		c, err := constraint(args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		return cty.BoolVal(c.Check(v)), nil
	},
})

// sorted are the versions of a list, oldest first; what is no version is an error.
func sorted(list cty.Value) ([]*semver.Version, error) {
	var out []*semver.Version
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			return nil, function.NewArgErrorf(0, "an element is null")
		}
		v, err := semver.NewVersion(e.AsString())
		if err != nil {
			return nil, function.NewArgErrorf(0, "an element is not a semantic version; leave those out with a for and semver_valid")
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b *semver.Version) int { return a.Compare(b) })
	return out, nil
}

var semverSort = function.New(&function.Spec{
	Description: "Versions, oldest first.",
	Params:      []function.Parameter{{Name: "versions", Type: cty.List(cty.String)}}, Type: function.StaticReturnType(cty.List(cty.String)),
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		list, err := sorted(args[0])
		if err != nil || len(list) == 0 {
			return cty.ListValEmpty(cty.String), err
		}
		out := make([]cty.Value, len(list))
		for i, v := range list {
			out[i] = cty.StringVal(v.Original())
		}
		return cty.ListVal(out), nil
	},
})

var semverLatest = function.New(&function.Spec{
	Description: "The newest version in a range, null if there is none. Other strings are ignored.",
	Params:      []function.Parameter{{Name: "versions", Type: cty.List(cty.String)}, {Name: "range", Type: cty.String}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		c, err := constraint(args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		var best *semver.Version
		for it := args[0].ElementIterator(); it.Next(); {
			_, e := it.Element()
			if e.IsNull() {
				continue
			}
			if v, err := semver.NewVersion(e.AsString()); err == nil && c.Check(v) && (best == nil || v.GreaterThan(best)) {
				best = v
			}
		}
		if best == nil {
			return cty.NullVal(cty.String), nil
		}
		return cty.StringVal(best.Original()), nil
	},
})

var semverBump = function.New(&function.Spec{
	Description: `The next version: part is "major", "minor" or "patch".`,
	Params:      []function.Parameter{{Name: "version", Type: cty.String}, {Name: "part", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := version(args, 0)
		if err != nil {
			return cty.NilVal, err
		}
		next := map[string]func() semver.Version{"major": v.IncMajor, "minor": v.IncMinor, "patch": v.IncPatch}[args[1].AsString()]
		if next == nil {
			return cty.NilVal, function.NewArgErrorf(1, `part is "major", "minor" or "patch"`)
		}
		n := next()
		return cty.StringVal(n.Original()), nil
	},
})

var imageParts = cty.Object(map[string]cty.Type{
	"registry": cty.String, "path": cty.String, "repository": cty.String, "name": cty.String, "tag": cty.String, "digest": cty.String,
})

var imageRef = function.New(&function.Spec{
	Description: "The parts of an image reference: registry, path, repository (registry/path), name (the last part), tag and digest (null if absent).",
	Params:      []function.Parameter{{Name: "reference", Type: cty.String}}, Type: function.StaticReturnType(imageParts),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		n, err := reference.ParseNormalizedNamed(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "this is not an image reference")
		}
		repo := reference.Path(n)
		parts := map[string]cty.Value{
			"registry": cty.StringVal(reference.Domain(n)), "path": cty.StringVal(repo), "repository": cty.StringVal(n.Name()),
			"name": cty.StringVal(path.Base(repo)), "tag": cty.NullVal(cty.String), "digest": cty.NullVal(cty.String),
		}
		if t, ok := n.(reference.Tagged); ok {
			parts["tag"] = cty.StringVal(t.Tag())
		}
		if d, ok := n.(reference.Digested); ok {
			parts["digest"] = cty.StringVal(d.Digest().String())
		}
		return cty.ObjectVal(parts), nil
	},
})

var imageWith = function.New(&function.Spec{
	Description: "An image reference with another tag or digest.",
	Params:      []function.Parameter{{Name: "reference", Type: cty.String}, {Name: "tag_or_digest", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		n, err := reference.ParseNormalizedNamed(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "this is not an image reference")
		}
		name := reference.TrimNamed(n).Name()
		for _, sep := range []string{"@", ":"} {
			if _, err := reference.Parse(name + sep + args[1].AsString()); err == nil {
				return cty.StringVal(name + sep + args[1].AsString()), nil
			}
		}
		return cty.NilVal, function.NewArgErrorf(1, "this is neither a tag nor a digest")
	},
})
