package build

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

func inputs(change func(*Inputs)) Inputs {
	in := Inputs{
		Format:   1,
		Files:    []tree.Entry{{Path: "a b.txt", Digest: "sha256:1"}, {Path: "c", Digest: "sha256:2"}},
		Settings: map[string]any{"target": "x", "build argument NAME": "1"},
		Bases:    map[string]string{"python:3.11": "sha256:" + strings.Repeat("a", 64)},
		Layout:   "one",
	}
	change(&in)
	return in
}

func TestARecordTellsWhatChanged(t *testing.T) {
	tests := map[string]struct {
		change func(*Inputs)
		want   []string
		causes string
	}{
		"nothing":           {func(*Inputs) {}, nil, ""},
		"a file":            {func(in *Inputs) { in.Files[0].Digest = "sha256:3" }, []string{"files changed: a b.txt"}, "source"},
		"a file's mode":     {func(in *Inputs) { in.Files[1].Mode = 0o755 }, []string{"files changed: c"}, "source"},
		"files come and go": {func(in *Inputs) { in.Files[0].Path = "d" }, []string{"files changed: a b.txt (removed), d (new)"}, "source"},
		"a setting":         {func(in *Inputs) { in.Settings["build argument NAME"] = "2" }, []string{"build argument NAME changed"}, "config"},
		"a new setting":     {func(in *Inputs) { in.Settings["build argument OTHER"] = "" }, []string{"build argument OTHER was set"}, "config"},
		"no setting":        {func(in *Inputs) { delete(in.Settings, "build argument NAME") }, []string{"build argument NAME was removed"}, "config"},
		"the base":          {func(in *Inputs) { in.Bases["python:3.11"] = "sha256:" + strings.Repeat("b", 64) }, []string{"the base image python:3.11 changed from sha256:aaaaaaaaaaaa to sha256:bbbbbbbbbbbb"}, "build"},
		"a base more":       {func(in *Inputs) { in.Bases["debian:12"] = "sha256:c" }, []string{"the base image debian:12 was added"}, "config"},
		"a base less":       {func(in *Inputs) { delete(in.Bases, "python:3.11") }, []string{"the base image python:3.11 was removed"}, "config"},
		"the layout":        {func(in *Inputs) { in.Layout = "two" }, []string{"the files' places in the image changed"}, "config"},
		"a percent sign":    {func(in *Inputs) { in.Files[0].Path, in.Bases["%s%d"] = "%v", "sha256:d" }, []string{"files changed: %v (new), a b.txt (removed)", "the base image %s%d was added"}, "source config"},
		"several at a time": {func(in *Inputs) { in.Files[0].Digest, in.Settings["target"] = "x", "y" },
			[]string{"files changed: a b.txt", "target changed"}, "source config"},
	}
	before := newRecord(inputs(func(*Inputs) {}), sdk.SourceRef{})
	for what, tt := range tests {
		now := Decode(newRecord(inputs(tt.change), sdk.SourceRef{}).encode(), 1)
		var got explanation
		now.changes(before, &got)
		if causes := strings.Trim(fmt.Sprint(got.causes), "[]"); !slices.Equal(got.reasons, tt.want) || causes != tt.causes {
			t.Errorf("%s: %q, causes %s; want %q, %s", what, got.reasons, causes, tt.want, tt.causes)
		}
	}
}

// A record is kept in state and in plans: it must stay small, and must not hold what a person may have written into a setting.
func TestARecordIsSmallAndHoldsNoValues(t *testing.T) {
	many := func(changed int) *Record {
		in := inputs(func(in *Inputs) { in.Settings["build argument NAME"] = "some-value" })
		in.Files = nil
		for i := range 50_000 {
			e := tree.Entry{Path: fmt.Sprintf("src/pkg%d/sub%d/file%d", i%50, i%200, i), Digest: "sha256:1"}
			if i == changed {
				e.Digest = "sha256:2"
			}
			in.Files = append(in.Files, e)
		}
		return newRecord(in, sdk.SourceRef{})
	}
	before, now := many(-1), many(7)
	if raw := now.encode(); len(raw) > 200_000 || strings.Contains(string(raw), "some-value") {
		t.Errorf("%d bytes", len(raw))
	}
	var got explanation
	if now.changes(before, &got); !slices.Equal(got.reasons, []string{"files changed in src/pkg7/sub7/"}) {
		t.Errorf("%q", got.reasons)
	}
	few := newRecord(inputs(func(*Inputs) {}), sdk.SourceRef{})
	got = explanation{}
	if now.changes(few, &got); got.reasons[0] != "files changed" {
		t.Errorf("from few files to many: %q", got.reasons)
	}
}

func TestARecordOfAnotherKindIsNone(t *testing.T) {
	good := newRecord(inputs(func(*Inputs) {}), sdk.SourceRef{}).encode()
	for what, raw := range map[string][]byte{"none": nil, "empty": {}, "garbage": []byte("x"), "another version's": []byte(`{"format":2}`)} {
		if Decode(raw, 1) != nil {
			t.Errorf("%s is read", what)
		}
	}
	if Decode(good, 1) == nil || Decode(good, 2) != nil {
		t.Error("the format does not decide")
	}
}
