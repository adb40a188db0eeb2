package addr_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/addr"
)

func TestParseIsTheInverseOfString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-z][a-z0-9_-]{0,8}`)
		i := addr.Instance{Node: addr.Node{Kind: "build", Type: id.Draw(t, "type"), Name: id.Draw(t, "name")}}
		switch rapid.IntRange(0, 2).Draw(t, "key") {
		case 1:
			i.Key = addr.IntKey(rapid.IntRange(0, 1<<20).Draw(t, "n"))
		case 2:
			i.Key = addr.StringKey(rapid.StringMatching(`[ -~]{0,12}`).Draw(t, "s"))
		}
		got, err := addr.Parse(i.String())
		if err != nil || got != i {
			t.Fatalf("Parse(%s) = %v, %v", i, got, err)
		}
	})
}

func TestParseRefusesWhatIsNoAddress(t *testing.T) {
	for _, s := range []string{"", "a", "a.b", "a.b.c.d", "a.b.c[x]", "a.b.c[null]", `a.b["c"]`, "a..b", "a.b.c[1.5]"} {
		if got, err := addr.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", s, got)
		}
	}
}
