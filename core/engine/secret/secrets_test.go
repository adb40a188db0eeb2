package secret

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/functions"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func known(values ...cty.Value) *Secrets {
	s := &Secrets{}
	for _, v := range values {
		s.AddFrom(v.Mark(eval.Sensitive))
	}
	return s
}

// What is looked for, and where: long secrets in every form, short ones and numbers where they stand alone.
func TestMask(t *testing.T) {
	s := known(cty.StringVal("hunter2-hunter2"), cty.StringVal("abc12"), cty.NumberIntVal(4711), cty.StringVal("true"), cty.NumberIntVal(7))
	b64 := base64.StdEncoding.EncodeToString
	for text, want := range map[string]string{
		"it is hunter2-hunter2!":                    "it is (sensitive)!",
		"HUNTER2-HUNTER2":                           "(sensitive)",
		b64([]byte(b64([]byte("hunter2-hunter2")))): "(sensitive)=",
		"pin 4711, abc12.":                          "pin (sensitive), (sensitive).",
		`"abc12"`:                                   `"(sensitive)"`,
		"a=abc12":                                   "a=(sensitive)",
		"xabc12 abc12y 14711 4.4711 v1-abc12 d/abc12/": "xabc12 abc12y 14711 4.4711 v1-abc12 d/abc12/",
		"true 7": "true 7",
	} {
		if got := s.Mask(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, before := range []string{"", "x", "ab", "user:", "Ada Lovelace:"} {
		for _, after := range []string{"", "y", "yz", "\n"} {
			text := b64([]byte(before + "hunter2-hunter2" + after))
			if got := s.Mask(text); got == text || !strings.Contains(got, Masked) {
				t.Errorf("%q before and %q after: %s", before, after, got)
			}
		}
	}
}

// A field or an output that is a short secret is masked whole.
func TestShortSecretsInFieldsAndOutputs(t *testing.T) {
	s := known(cty.StringVal("abc12"), cty.NumberIntVal(4711))
	items, err := s.Items([]*pluginv1.Item{{Key: "k", Action: pluginv1.Action_ACTION_UPDATE, Fields: []*pluginv1.Field{
		{Path: "a", Before: `"x"`, After: `"abc12"`}, {Path: "b", After: `4711`}, {Path: "c", After: `{"d": ["abc12"]}`}, {Path: "e", After: `"xabc12"`}, {Path: "f", After: "47"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, true, false, false} {
		if f := items[0].Fields[i]; f.Sensitive != want || want && string(f.After) != string(MaskedJSON) {
			t.Errorf("%s: %s, %t", f.Path, f.After, f.Sensitive)
		}
	}
	v := s.Mark(cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("abc12"), "b": cty.StringVal("abc123")}))
	if !v.GetAttr("a").IsMarked() || v.GetAttr("b").IsMarked() {
		t.Errorf("%#v", v)
	}
}

// A plugin is told which parts of its configuration are sensitive, and which parts of an encoded text.
func TestPaths(t *testing.T) {
	secret := cty.StringVal("x").Mark(eval.Sensitive)
	v := cty.ObjectVal(map[string]cty.Value{
		"token": secret, "open": cty.StringVal("y"), "list": cty.ListVal([]cty.Value{cty.StringVal("y"), secret}), "map": cty.MapVal(map[string]cty.Value{"k": secret}),
	})
	inside, err := functions.All(functions.Folders{})["jsonencode"].Call([]cty.Value{cty.ObjectVal(map[string]cty.Value{"a": secret, "b": cty.TupleVal([]cty.Value{cty.StringVal("y"), secret})})})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config cty.Value
		want   string
	}{
		{v, `list 1|map k|token`},
		{cty.ObjectVal(map[string]cty.Value{"open": cty.StringVal("y")}), ""},
		{cty.ObjectVal(map[string]cty.Value{"values": inside}), "values a|values b 1"},
		{cty.ObjectVal(map[string]cty.Value{"values": inside.Mark(eval.Sensitive)}), "values"}, // something else makes it sensitive, too
	} {
		var got []string
		for _, p := range Paths(c.config) {
			var steps []string
			for _, s := range p.GetSteps() {
				switch s := s.GetStep().(type) {
				case *pluginv1.PathStep_Attribute:
					steps = append(steps, s.Attribute)
				case *pluginv1.PathStep_Key:
					steps = append(steps, s.Key)
				case *pluginv1.PathStep_Index:
					steps = append(steps, strconv.FormatInt(s.Index, 10))
				}
			}
			got = append(got, strings.Join(steps, " "))
		}
		slices.Sort(got)
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%s, want %s", text, c.want)
		}
	}
}
