package kinds

import (
	"slices"
	"testing"
)

func TestTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range All() {
		if k.Name == "" || seen[k.Name] {
			t.Errorf("kind %q is named twice, or not at all", k.Name)
		}
		seen[k.Name] = true
		if k.Class != Told && len(k.Outputs) == 0 {
			t.Errorf("%s promises no outputs", k.Name)
		}
		if k.Long != "" && !slices.Contains(k.Outputs, k.Long) {
			t.Errorf("%s: its long output %q is none of its outputs", k.Name, k.Long)
		}
		if IsManaged(k.Name) != (k.Class == Managed) {
			t.Errorf("%s: IsManaged and Class differ", k.Name)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	if _, ok := Find("sauce"); ok {
		t.Error("there is a kind sauce")
	}
	if IsManaged("sauce") {
		t.Error("an unknown kind is managed")
	}
}
