package text_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/internal/text"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ümlaut 日本":       "plain ümlaut 日本",
		"a\tb":                  "a b",
		"a\nb\r":                "a\uFFFDb\uFFFD",
		"\x1b[2Jhidden":         "\uFFFD[2Jhidden",
		"right\u202eleft":       "right\uFFFDleft",
		"zero\u200bwidth":       "zero\uFFFDwidth",
		"a\u2028b":              "a\uFFFDb",
		"back\x08space":         "back\uFFFDspace",
		"::error file=a::text":  ": :error file=a::text",
		"  ::warning::text":     "  : :warning::text",
		"fe80::1":               "fe80::1",
		"::1":                   "::1",
		"a ##vso[task.x]b":      "a # #vso[task.x]b",
		"##[error]x ##[group]y": "# #[error]x # #[group]y",
		"##teamcity[x]":         "# #teamcity[x]",
		"## heading":            "## heading",
	} {
		if got := text.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanLines(t *testing.T) {
	for in, want := range map[string]string{
		"one\ntwo\n":            "one\ntwo\n",
		"one\r\ntwo":            "one\ntwo",
		"one\rtwo":              "one\uFFFDtwo",
		"one\n::warning::two":   "one\n: :warning::two",
		"one\n\x1b[31m\n\u202e": "one\n\uFFFD[31m\n\uFFFD",
	} {
		if got := text.CleanLines(in); got != want {
			t.Errorf("CleanLines(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanSource(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\r\nc\n":       "a\tb\r\nc\n",
		"a\x1b[2J\u202eb\r": "a?[2J???b?",
		"\xffa ##vso[x":     "?a #?vso[x",
		"ümlaut":            "ümlaut",
	} {
		if got := string(text.CleanSource([]byte(in))); got != want || len(got) != len(in) {
			t.Errorf("CleanSource(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc..."}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äöü..."}, {"", 0, ""}, {"a", 0, "..."},
	} {
		if got := text.Shorten(c.in, c.most); got != c.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
}

func TestRevisionAndRef(t *testing.T) {
	commit, digest := strings.Repeat("ab", 20), strings.Repeat("c", 64)
	for in, want := range map[string]string{commit: "abababa", digest: "ccccccc", "v1.2.3": "v1.2.3", strings.Repeat("z", 40): strings.Repeat("z", 40)} {
		if got := text.Revision(in); got != want {
			t.Errorf("Revision(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"reg/app:1": "reg/app:1", "reg/app:1@sha256:" + digest: "reg/app:1@sha256:cccccccccccc", "reg/app@sha256:short": "reg/app@sha256:short"} {
		if got := text.Ref(in); got != want {
			t.Errorf("Ref(%q) = %q, want %q", in, got, want)
		}
	}
}

func ExampleCount() {
	fmt.Println(text.Count(1, "object"), text.Count(0, "object"), text.Count(2, "policy", "policies"))
	// Output: 1 object 0 objects 2 policies
}

func ExampleFirst() {
	fmt.Println(text.First([]string{"a", "b"}, 3))
	fmt.Println(text.First([]string{"a", "b", "c", "d", "e"}, 3))
	// Output:
	// a, b
	// a, b, c and 2 more
}

func ExampleIndent() {
	fmt.Println(text.Indent("first\n\nsecond", 2))
	// Output:
	//   first
	//   second
}
