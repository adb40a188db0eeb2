package mask

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

type object = map[string]any

func TestWhatDiffersIsMasked(t *testing.T) {
	for name, c := range map[string]struct{ real, twin, want any }{
		"nothing":               {object{"a": "x", "n": int64(1)}, object{"a": "x", "n": int64(1)}, object{"a": "x", "n": int64(1)}},
		"a text":                {object{"a": "abc12", "b": "x"}, object{"a": "bcd23", "b": "x"}, object{"a": Text, "b": "x"}},
		"a number":              {object{"port": int64(5432), "n": int64(1)}, object{"port": int64(6543), "n": int64(1)}, object{"port": Text, "n": int64(1)}},
		"deep":                  {object{"a": object{"b": []any{object{"name": "x", "value": "s"}, "y"}}}, object{"a": object{"b": []any{object{"name": "x", "value": "t"}, "y"}}}, object{"a": object{"b": []any{object{"name": "x", "value": Text}, "y"}}}},
		"a list that grows":     {object{"a": []any{"x", "y"}}, object{"a": []any{"x"}}, object{"a": Text}},
		"a key by the secret":   {object{"a": object{"abc12": "x"}}, object{"a": object{"bcd23": "x"}}, object{"a": Text}},
		"a field if the secret": {object{"a": object{"b": "x", "c": "y"}}, object{"a": object{"b": "x"}}, object{"a": object{"b": "x", "c": Text}}},
		"another kind of value": {object{"a": "x"}, object{"a": object{}}, object{"a": Text}},
	} {
		if got := Between(c.real, c.twin).Apply(c.real); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	real := object{"a": "1", "b": []any{"2", "3"}, "c": "4"}
	both := Between(real, object{"a": "x", "b": []any{"2", "3"}, "c": "4"}).With(Between(real, object{"a": "1", "b": []any{"2", "x"}, "c": "4"}))
	if got, want := both.Apply(real), (object{"a": Text, "b": []any{"2", Text}, "c": "4"}); !reflect.DeepEqual(got, want) {
		t.Errorf("both: %v", got)
	}
	var hidden []any
	both.Values(real, func(v any) { hidden = append(hidden, v) })
	if len(hidden) != 2 {
		t.Errorf("%v", hidden)
	}
}

// A twin is another value of the same type and form.
func TestTwins(t *testing.T) {
	for n := 1; n <= Twins; n++ {
		for _, v := range []any{"abc12", "5432", "aHVudGVyMg==", "!?", "ü", "090", int64(3), 1.5, true, []any{"a", 1.0}, object{"k": "v"}, "9", "z", "Z"} {
			twin := Twin(v, n)
			if reflect.DeepEqual(v, twin) || reflect.TypeOf(v) != reflect.TypeOf(twin) {
				t.Errorf("twin %d of %v: %v", n, v, twin)
			}
			if text, is := v.(string); is && text == "5432" && (len(twin.(string)) != 4 || twin.(string)[0] == '0') {
				t.Errorf("twin %d of a number: %v", n, twin)
			}
		}
	}
	if Twin("", 1) != "" {
		t.Error("an empty text holds nothing")
	}
	v, ok := Replace(object{"a": []any{object{"b": "x"}, "y"}}, []any{"a", 0, "b"}, 1)
	if !ok || !reflect.DeepEqual(v, object{"a": []any{object{"b": "y"}, "y"}}) {
		t.Errorf("%v", v)
	}
	if _, ok := Replace(object{"a": "x"}, []any{"a", "b"}, 1); ok {
		t.Error("a path that leads nowhere")
	}
}

func TestMessagesAreMaskedByWords(t *testing.T) {
	for _, c := range [][3]string{
		{"same", "same", "same"},
		{"the password abc12 is too short", "the password bcd23 is too short", "the password " + Text + " is too short"},
		{"no\nabc12", "no\nbcd23", "no\n" + Text},
		{"", "x", "The reason depends on sensitive values, so it is not shown."},
		{"fails with a b", "fails", "The reason depends on sensitive values, so it is not shown."},
	} {
		if got := Message(c[0], c[1]); got != c[2] && (c[0] != "" || got == "") {
			t.Errorf("%q: %q", c[0], got)
		}
	}
}

// A tree is kept without values, and still finds what is sensitive.
func TestTreesAreKeptWithoutValues(t *testing.T) {
	real := object{"a": "s3cr3t", "b": []any{object{"name": "x", "value": "s3cr3t"}, object{"name": "y", "value": "open"}}}
	twin := object{"a": "t", "b": []any{object{"name": "x", "value": "t"}, object{"name": "y", "value": "open"}}}
	tree := Between(real, twin)
	text, err := json.Marshal(tree)
	if err != nil || strings.Contains(string(text), "s3cr3t") {
		t.Fatalf("%s, %v", text, err)
	}
	var back *Tree
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.Apply(real), tree.Apply(real)) {
		t.Errorf("%v, %v", back.Apply(real), err)
	}
	b := back.On(real).Field("b")
	if b.Item(object{"name": "x"}).Field("value") == nil || b.Item(object{"name": "y"}) != nil {
		t.Errorf("%s", text)
	}
	if !back.On(object{"b": []any{"another"}}).Field("b").IsWhole() {
		t.Error("a list of another length is sensitive as a whole")
	}
}
