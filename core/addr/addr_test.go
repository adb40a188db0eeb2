package addr_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/addr"
)

var id = rapid.StringMatching(`[a-z][a-z0-9_-]{0,8}`)

var key = rapid.Custom(func(t *rapid.T) addr.Key {
	switch rapid.IntRange(0, 2).Draw(t, "key") {
	case 1:
		return addr.IntKey(rapid.IntRange(0, 1<<20).Draw(t, "n"))
	case 2:
		return addr.StringKey(rapid.StringMatching(`[ -~]{0,12}`).Draw(t, "s"))
	}
	return addr.Key{}
})

func TestParseIsTheInverseOfString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m addr.Module
		for range rapid.IntRange(0, 3).Draw(t, "depth") {
			m = m.Child(id.Draw(t, "module"), key.Draw(t, "module key"))
		}
		i := addr.Instance{Node: addr.Node{Module: m, Kind: "build", Type: id.Draw(t, "type"), Name: id.Draw(t, "name")}, Key: key.Draw(t, "key")}
		got, err := addr.Parse(i.String())
		if err != nil || got != i {
			t.Fatalf("Parse(%s) = %v, %v", i, got, err)
		}
		steps, err := m.Steps()
		if err != nil {
			t.Fatal(err)
		}
		var again addr.Module
		for _, s := range steps {
			again = again.Child(s.Name, s.Key)
		}
		if again != m {
			t.Fatalf("the steps of %q make %q", m, again)
		}
		p, err := addr.ParsePlace(i.String())
		if err != nil || !p.Matches(i) || p.String() != i.String() {
			t.Fatalf("the place %s is %v, %v", i, p, err)
		}
	})
}

func TestParseRefusesWhatIsNoAddress(t *testing.T) {
	for _, s := range []string{
		"", "a", "a.b", "a.b.c.d", "a.b.c[x]", "a.b.c[null]", `a.b["c"]`, "a..b", "a.b.c[1.5]",
		"module.x", `module.x["a"]`, "module.x.a.b", "module[0].a.b.c", "module.x[null].a.b.c", "1.b.c",
	} {
		if got, err := addr.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", s, got)
		}
	}
}

func TestAPlaceMeansWhatIsInIt(t *testing.T) {
	all := []string{
		`build.oci.a`, `build.oci.a["x"]`, `module.m.build.oci.a`, `module.m["k"].build.oci.a[0]`, `module.m["k"].module.n.build.oci.b`, `module.mm.build.oci.a`,
	}
	for place, want := range map[string][]int{
		`build.oci.a`:               {0, 1},
		`build.oci.a["x"]`:          {1},
		`module.m`:                  {2, 3, 4},
		`module.m["k"]`:             {3, 4},
		`module.m["k"].module.n`:    {4},
		`module.m.build.oci.a`:      {2},
		`module.m["z"]`:             nil,
		`module.mm.build.oci.a`:     {5},
		`module.m["k"].build.oci.a`: {3},
	} {
		p, err := addr.ParsePlace(place)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for i, s := range all {
			a, err := addr.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if p.Matches(a) {
				got = append(got, i)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s means %v, want %v", place, got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s means %v, want %v", place, got, want)
			}
		}
	}
}

// Addresses that are read without a parser are read as the parser reads them.
func TestPlainAddressesAreReadAsTheParserReadsThem(t *testing.T) {
	for _, index := range []string{
		"", "[0]", "[12]", "[00]", "[01]", "[-1]", "[+1]", "[1.5]", "[1e3]", "[ 1]", "[1 ]", "[]", "[\"\"]", "[\"a\"]", "[\"a b/c:d\"]", "[\"a]\"]", "[\"[\"]", "[\"0\"]",
		"[\"a\"b\"]", "[\"a\\\"b\"]", "[\"a\\nb\"]", "[\"${x}\"]", "[\"$x\"]", "[\"%{x}\"]", "[\"100%\"]", "[\"\u00e9\"]", "[\"e\u0301\"]", "[\"a\nb\"]", "[\"a\"][0]",
		"[\"a\"].b", "[a]", "[\"a\"", "[\"a]", "a\"]", "]", "[\"~\"]", "[\"\x7f\"]", "[99999999999]", "[9223372036854775807]", "[9223372036854775808]",
	} {
		s := "application.kubernetes.api" + index
		got, err := addr.Parse(s)
		want, wantErr := addr.ParsePlace(s)
		if (err == nil) != (wantErr == nil) || err == nil && got != want.Instance {
			t.Errorf("%s: %#v, %v; the parser says %#v, %v", s, got, err, want.Instance, wantErr)
		}
	}
}
