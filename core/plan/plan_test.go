package plan_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/plan"
)

// What a value knows survives being stored: known parts, unknown parts with their prefixes, nulls.
func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := draw(t, 3)
		stored, err := plan.NewValue(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := stored.Cty()
		if err != nil {
			t.Fatal(err)
		}
		if !got.RawEquals(v) {
			t.Fatalf("stored %#v, got back %#v (%s)", v, got, stored.Value)
		}
		if stored.IsKnown() != v.IsWhollyKnown() {
			t.Fatalf("IsKnown is %v for %#v", stored.IsKnown(), v)
		}
	})
}

func draw(t *rapid.T, depth int) cty.Value {
	kinds := 4
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return cty.StringVal(rapid.StringMatching(`[a-z ]{0,6}`).Draw(t, "string"))
	case 1:
		return cty.NumberIntVal(rapid.Int64Range(-5, 5).Draw(t, "number"))
	case 2:
		return cty.NullVal(cty.String)
	case 3:
		return cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("reg/x:" + rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "prefix")).NewValue()
	case 4:
		return cty.ObjectVal(map[string]cty.Value{"a": draw(t, depth-1), "b c": draw(t, depth-1)})
	case 5:
		return cty.TupleVal([]cty.Value{draw(t, depth-1), draw(t, depth-1)})
	}
	return cty.MapVal(map[string]cty.Value{"k": cty.StringVal("v"), "u": cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("p").NewValue()})
}

func TestSensitivePartsAreLeftOut(t *testing.T) {
	v, err := plan.NewValue(cty.ObjectVal(map[string]cty.Value{"open": cty.StringVal("yes"), "secret": cty.StringVal("hunter2").Mark("sensitive")}))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(v.Value), "hunter2") || len(v.Sensitive) != 1 || v.Sensitive[0] != "secret" {
		t.Errorf("%s, sensitive %v", v.Value, v.Sensitive)
	}
}

func saved(t *testing.T) (*plan.Plan, string) {
	t.Helper()
	p := &plan.Plan{Format: plan.Format, Davit: "1.0.0", Created: time.Unix(1, 0).UTC(), Mode: plan.ModeApply, Observations: []plan.Observation{},
		Changes: []plan.Change{{Address: "a.b.c", Action: plan.Update, Private: []byte{1, 2}, Reasons: []string{"<because>"}}}}
	if err := p.Seal(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p.davit")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	return p, path
}

func TestSaveAndRead(t *testing.T) {
	p, path := saved(t)
	got, err := plan.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != p.Digest || got.Changes[0].Address != "a.b.c" {
		t.Errorf("got %+v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// A plan that was changed after its review is refused, as is what is no plan or a cut one.
func TestBadPlanFiles(t *testing.T) {
	p, path := saved(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Changes[0].Action = plan.Delete // its digest is that of the plan before
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	changed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Format++
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	newer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"changed": {changed, "was changed after it was made"},
		"newer":   {newer, "has format 2"},
		"cut":     {whole[:len(whole)/2], "is damaged"},
		"other":   {[]byte("{}"), "this is not a plan file"},
		"empty":   {nil, "this is not a plan file"},
	} {
		if _, err := plan.Decode(c.bytes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("davit plan\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = plan.Decode(b) // it must not panic
	})
}

// Whatever the text in a plan file is, reading it ends with a plan of this format or an error.
func FuzzDecodeText(f *testing.F) {
	f.Add(`{"format_version":1,"davit_version":"0.1.0","changes":[{"address":"a","items":[{"key":"k"}]}],"digest":"sha256:0"}`)
	f.Add(`{"format_version":2}`)
	f.Add(`{"format_version":1,"observations":[{"outputs":{"value":null}}],"state":{"serial":-1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := plan.Decode(pack(t, text)); err == nil && p.Format != plan.Format {
			t.Errorf("a plan of format %d is read", p.Format)
		}
	})
}

// pack makes a plan file of a text.
func pack(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("davit plan\n")
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A small file that unpacks to far more than a plan is refused before it takes memory and time.
func TestPlanFilesThatBlowUp(t *testing.T) {
	for name, text := range map[string]string{
		"blanks":  strings.Repeat(" ", 100<<20) + "{}",
		"changes": `{"format_version":1,"changes":[` + strings.Repeat("{},", 3_000_000) + `{}]}`,
		"lists":   `{"format_version":1,"changes":` + strings.Repeat("[", 4_100_000),
	} {
		file := pack(t, text)
		if _, err := plan.Decode(file); err == nil || !strings.Contains(err.Error(), "the plan is too large") {
			t.Errorf("%s, %d bytes of file: %v", name, len(file), err)
		}
	}
}
