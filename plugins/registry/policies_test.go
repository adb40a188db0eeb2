package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

// decider is a policy with its configuration.
type decider func(context.Context, sdk.Candidates) (sdk.Decision, error)

func with[C any](p sdk.Decider[C], c C) decider {
	return func(ctx context.Context, candidates sdk.Candidates) (sdk.Decision, error) {
		return p.Decide(ctx, sdk.DecideRequest[C]{Config: c, Candidates: candidates})
	}
}

// show writes a decision as a person would check it.
func show(d sdk.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", strings.Join(d.Ranked, " "), d.Reason)
	for _, r := range d.Rejected {
		fmt.Fprintf(&b, "%s: %s\n", r.Tag, r.Reason)
	}
	return b.String()
}

func TestPolicies(t *testing.T) {
	tests := []struct {
		name   string
		policy decider
		tags   string
		want   string
	}{
		{"semver without a range leaves prereleases out", with(semverPolicy{}, semverConfig{}), "1.0.0 2.0.0-rc.1 latest",
			`1.0.0
1.0.0 is the only tag with a version; 2 were rejected
2.0.0-rc.1: a prerelease
latest: not a semantic version
`},
		{"loose versions", with(semverPolicy{}, semverConfig{Loose: true}), "16.2 v1 2024.01.05 2024.01.04 3.1.0.4 3.1.0.10 16.10 main 99999999999999999999.1",
			`2024.01.05 2024.01.04 16.10 16.2 3.1.0.10 3.1.0.4 v1
2024.01.05 is the highest of 7 tags with a version; 2 were rejected
99999999999999999999.1: not a version: 99999999999999999999 is too large
main: not a version
`},
		{"a range of loose versions", with(semverPolicy{}, semverConfig{Loose: true, Range: "~16.2"}), "16.2 16.2.3 16.10 17.1",
			`16.2.3 16.2
16.2.3 is the highest of 2 tags in range ~16.2; 2 were rejected
16.10: not in range ~16.2
17.1: not in range ~16.2
`},
		{"equal versions say how one is chosen", with(semverPolicy{}, semverConfig{}), "1.0.0 v1.0.0",
			`v1.0.0 1.0.0
v1.0.0 is the highest of 2 tags with a version; 1.0.0 is equal to it, and the last in alphabetical order is taken
`},
		{"excluded tags", with(semverPolicy{}, semverConfig{commonConfig: commonConfig{Exclude: []string{`^1\.1\.`, "rc"}}}), "1.0.0 1.1.0 1.1.1 2.0.0-rc.1",
			`1.0.0
1.0.0 is the only tag with a version; 3 were rejected
1.1.0: excluded by ^1\.1\.
1.1.1: excluded by ^1\.1\.
2.0.0-rc.1: excluded by rc
`},
		{"calendar versions", with(calverPolicy{}, calverConfig{Format: "YYYY.0M.MICRO"}), "2026.01.9 2026.01.10 2025.12.99 v2026.02.0 2026.1.11 2026.13.0 1.0.0",
			`v2026.02.0 2026.01.10 2026.01.9 2025.12.99
v2026.02.0 is the latest of 4 tags written as YYYY.0M.MICRO; 3 were rejected
1.0.0: not written as YYYY.0M.MICRO
2026.1.11: not written as YYYY.0M.MICRO
2026.13.0: not written as YYYY.0M.MICRO
`},
		{"calendar versions without padding and separators", with(calverPolicy{}, calverConfig{Format: "YY.MM"}), "24.4 24.10 23.12 24.04",
			`24.10 24.4 23.12
24.10 is the latest of 3 tags written as YY.MM; 1 was rejected
24.04: not written as YY.MM
`},
		{"semver chooses by precedence, not by the alphabet",
			with(semverPolicy{}, semverConfig{Range: ">=1.0.0"}), "1.0.9 1.0.10 0.9.0 latest 1.0 20240101 v1.0.8",
			`1.0.10 1.0.9 v1.0.8
1.0.10 is the highest of 3 tags in range >=1.0.0; 4 were rejected
0.9.0: not in range >=1.0.0
1.0: not a semantic version
20240101: not a semantic version
latest: not a semantic version
`},
		{"semver refuses prereleases",
			with(semverPolicy{}, semverConfig{Range: ">=1.0.0"}), "1.0.0 1.1.0-rc.1 0.1.0-rc.1",
			`1.0.0
1.0.0 is the only tag in range >=1.0.0; 2 were rejected
0.1.0-rc.1: not in range >=1.0.0
1.1.0-rc.1: a prerelease
`},
		{"semver takes prereleases when the range names one",
			with(semverPolicy{}, semverConfig{Range: ">=1.0.0-0"}), "1.0.0 1.1.0-rc.1 1.1.0-rc.2 1.1.0-rc.10",
			`1.1.0-rc.10 1.1.0-rc.2 1.1.0-rc.1 1.0.0
1.1.0-rc.10 is the highest of 4 tags in range >=1.0.0-0
`},
		{"semver takes prereleases when it is told to",
			with(semverPolicy{}, semverConfig{Range: "~1.0", Prerelease: true}), "1.0.0 1.0.1-rc.1 2.0.0-rc.1",
			`1.0.1-rc.1 1.0.0
1.0.1-rc.1 is the highest of 2 tags in range ~1.0; 1 was rejected
2.0.0-rc.1: not in range ~1.0
`},
		{"semver compares what the filter extracts",
			with(semverPolicy{}, semverConfig{Range: "*", Filter: &filterConfig{Pattern: `^main-(?P<ver>.*)$`, Extract: "$ver"}}), "main-1.0.9 main-1.0.10 dev-2.0.0 main-x",
			`main-1.0.10 main-1.0.9
main-1.0.10 is the highest of 2 tags in range * matching ^main-(?P<ver>.*)$; 2 were rejected
dev-2.0.0: does not match ^main-(?P<ver>.*)$
main-x: not a semantic version
`},
		{"no tag is acceptable",
			with(semverPolicy{}, semverConfig{Range: ">=2.0.0"}), "1.0.0",
			`
no acceptable tag in range >=2.0.0: 1 tag rejected
1.0.0: not in range >=2.0.0
`},
		{"there are no tags",
			with(semverPolicy{}, semverConfig{Range: ">=2.0.0"}), "",
			`
the image has no tags
`},
		{"numerical chooses the highest number, of any length",
			with(numericalPolicy{}, numericalConfig{Order: "asc"}), "9 10 9007199254740993 9007199254740992 1.5 abc 1e9",
			`9007199254740993 9007199254740992 10 9 1.5
9007199254740993 is the highest of 5 tags with a number; 2 were rejected
1e9: not a number
abc: not a number
`},
		{"numerical descending chooses the lowest",
			with(numericalPolicy{}, numericalConfig{Order: "desc", Filter: &filterConfig{Pattern: `^build-(\d+)$`, Extract: "$1"}}), "build-9 build-10 7",
			`build-9 build-10
build-9 is the lowest of 2 tags with a number matching ^build-(\d+)$; 1 was rejected
7: does not match ^build-(\d+)$
`},
		{"alphabetical chooses the last",
			with(alphabeticalPolicy{}, alphabeticalConfig{}), "RELEASE.2024-01-01 RELEASE.2024-03-01 RELEASE.2023-12-31",
			`RELEASE.2024-03-01 RELEASE.2024-01-01 RELEASE.2023-12-31
RELEASE.2024-03-01 is the last in alphabetical order of 3 tags
`},
		{"alphabetical descending chooses the first",
			with(alphabeticalPolicy{}, alphabeticalConfig{Order: "desc"}), "b a",
			`a b
a is the first in alphabetical order of 2 tags
`},
		{"regex orders by a number in the tag",
			with(regexPolicy{}, regexConfig{Pattern: `^main-[a-f0-9]+-(?P<ts>\d+)$`, Extract: "$ts", OrderBy: "numerical"}), "main-abc-9 main-def-10 main-ghi-11 dev-abc-12",
			`main-def-10 main-abc-9
main-def-10 is the highest of 2 tags matching ^main-[a-f0-9]+-(?P<ts>\d+)$; 2 were rejected
dev-abc-12: does not match ^main-[a-f0-9]+-(?P<ts>\d+)$
main-ghi-11: does not match ^main-[a-f0-9]+-(?P<ts>\d+)$
`},
		{"regex orders by version, with the prereleases that the pattern lets through",
			with(regexPolicy{}, regexConfig{Pattern: `-alpine$`, OrderBy: "semver"}), "1.9.0-alpine 1.10.0-alpine 1.11.0",
			`1.10.0-alpine 1.9.0-alpine
1.10.0-alpine is the highest of 2 tags matching -alpine$; 1 was rejected
1.11.0: does not match -alpine$
`},
		{"regex can extract nothing",
			with(regexPolicy{}, regexConfig{Pattern: `^v(\d*)`, Extract: "$1"}), "v v1",
			`v1
v1 is the only tag matching ^v(\d*); 1 was rejected
v: $1 extracts an empty text from it
`},
		{"digest follows one tag",
			with(digestPolicy{}, digestConfig{Tag: "latest"}), "1.0.0 latest",
			`latest
latest is the followed tag
1.0.0: not the tag latest
`},
		{"digest without its tag",
			with(digestPolicy{}, digestConfig{Tag: "latest"}), "1.0.0",
			`
the tag latest does not exist
1.0.0: not the tag latest
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tt.policy(t.Context(), sdk.Candidates{Tags: strings.Fields(tt.tags)})
			if err != nil {
				t.Fatal(err)
			}
			if got := show(d); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestTheCurrentTagStaysWhenAnotherSaysTheSame(t *testing.T) {
	tags := []string{"v1.0.0", "1.0.0"}
	for _, current := range tags {
		d, err := semverPolicy{}.Decide(t.Context(), sdk.DecideRequest[semverConfig]{Config: semverConfig{Range: "*"}, Candidates: sdk.Candidates{Tags: tags, Current: current}})
		if err != nil || d.Ranked[0] != current {
			t.Errorf("current %s: %v, %v", current, d.Ranked, err)
		}
	}
}

func TestWrongPoliciesAreRefusedWhereTheyAreWrong(t *testing.T) {
	ctx := context.Background()
	tests := map[string]struct {
		err  error
		path sdk.Path
		says string
	}{
		"range":                        {semverPolicy{}.Validate(ctx, semverConfig{Range: ">=one"}), sdk.At("range"), "not a range of versions"},
		"filter":                       {semverPolicy{}.Validate(ctx, semverConfig{Range: "*", Filter: &filterConfig{Pattern: "("}}), sdk.At("filter").Attribute("pattern"), "not a regular expression"},
		"group":                        {numericalPolicy{}.Validate(ctx, numericalConfig{Filter: &filterConfig{Pattern: `(\d+)`, Extract: "$ver"}}), sdk.At("filter").Attribute("extract"), `"ver"`},
		"group number":                 {regexPolicy{}.Validate(ctx, regexConfig{Pattern: `(\d+)`, Extract: "${2}"}), sdk.At("extract"), `"2"`},
		"look-ahead":                   {regexPolicy{}.Validate(ctx, regexConfig{Pattern: `a(?=b)`}), sdk.At("pattern"), "not a regular expression"},
		"order":                        {alphabeticalPolicy{}.Validate(ctx, alphabeticalConfig{Order: "up"}), sdk.At("order"), `not "up"`},
		"order_by":                     {regexPolicy{}.Validate(ctx, regexConfig{Pattern: ".", OrderBy: "age"}), sdk.At("order_by"), `not "age"`},
		"order of the numbers":         {numericalPolicy{}.Validate(ctx, numericalConfig{Order: "ASC"}), sdk.At("order"), `not "ASC"`},
		"decided with a wrong range":   {decided(with(semverPolicy{}, semverConfig{Range: ">"})), sdk.At("range"), "not a range"},
		"exclude":                      {semverPolicy{}.Validate(ctx, semverConfig{commonConfig: commonConfig{Exclude: []string{"a", "("}}}), sdk.At("exclude").Index(1), "not a regular expression"},
		"platform":                     {newestPolicy{}.Validate(ctx, newestConfig{commonConfig: commonConfig{Platforms: []string{"arm64"}}}), sdk.At("platforms").Index(0), "not a platform"},
		"format":                       {calverPolicy{}.Validate(ctx, calverConfig{Format: "YYYY.MON"}), sdk.At("format"), "neither a word"},
		"format without words":         {calverPolicy{}.Validate(ctx, calverConfig{Format: "..."}), sdk.At("format"), "no words"},
		"group that swallows a letter": {regexPolicy{}.Validate(ctx, regexConfig{Pattern: `(\d+)-(\d+)`, Extract: "$1_$2"}), sdk.At("extract"), `names the group "1_"`},
		"tag that is followed":         {digestPolicy{}.Validate(ctx, digestConfig{Tag: "not/a/tag"}), sdk.At("tag"), "is not a tag"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			var e *sdk.Error
			if !errors.As(tt.err, &e) {
				t.Fatalf("%v", tt.err)
			}
			if !slices.Equal(e.Path, tt.path) || !strings.Contains(tt.err.Error(), tt.says) {
				t.Errorf("at %v: %v", e.Path, tt.err)
			}
		})
	}
	var e *sdk.Error
	if err := tests["group that swallows a letter"].err; !errors.As(err, &e) || !strings.Contains(e.Hint, "write ${1}_") {
		t.Errorf("the hint is %+v", e)
	}
	err := semverPolicy{}.Validate(ctx, semverConfig{Range: "?", Filter: &filterConfig{Pattern: "("}})
	var all sdk.Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Errorf("two mistakes are told one at a time: %v", err)
	}
}

func decided(d decider) error {
	_, err := d(context.Background(), sdk.Candidates{Tags: []string{"1.0.0"}})
	return err
}
