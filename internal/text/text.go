// Package text writes short texts for people: counts, lists, shortened names and values. Every message of davit
// and of its built-in plugins uses these functions, so that the same thing looks the same everywhere.
package text

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What stands in the place of a value that is not shown.
const (
	Sensitive = "(sensitive)"         // a secret
	Unknown   = "(known after apply)" // a value that does not exist yet
)

// Clean replaces the control characters of s, which could move a terminal's cursor or hide lines. A tab becomes a
// space, every other one U+FFFD. What a CI system would take for a command gets a space that makes it plain text.
// Text from plugins, repositories and registries is printed only after Clean or CleanLines.
func Clean(s string) string {
	return defuse(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case isControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, s))
}

// CleanLines cleans each line of s, and leaves the ends of the lines as they are.
func CleanLines(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// CleanSource returns a copy of a file's text in which "?" stands for each byte of a control character. Each byte keeps its
// place, so positions in the file keep their meaning. Tabs and the ends of lines stay.
func CleanSource(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; i < len(out); {
		r, size := utf8.DecodeRune(out[i:])
		if r != '\n' && r != '\t' && (r == utf8.RuneError || isControl(r)) && (r != '\r' || i+1 >= len(out) || out[i+1] != '\n') {
			for j := range size {
				out[i+j] = '?'
			}
		}
		i += size
	}
	for _, command := range []string{"##[", "##vso[", "##teamcity["} {
		out = bytes.ReplaceAll(out, []byte(command), []byte("#?"+command[2:]))
	}
	return out
}

func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// defuse breaks the commands that CI systems read from logs: "::name::" at the beginning of a line (GitHub, Gitea), and
// "##[name]", "##vso[" and "##teamcity[" anywhere in it.
func defuse(line string) string {
	if trimmed := strings.TrimLeft(line, " "); strings.HasPrefix(trimmed, "::") && strings.Contains(trimmed[2:], "::") {
		line = line[:len(line)-len(trimmed)] + ": " + trimmed[1:]
	}
	if strings.Contains(line, "##") {
		line = defused.Replace(line)
	}
	return line
}

var defused = strings.NewReplacer("##[", "# #[", "##vso[", "# #vso[", "##teamcity[", "# #teamcity[")

// Quote returns s cleaned and between double quotes.
func Quote(s string) string { return fmt.Sprintf("%q", Clean(s)) }

// Count returns n and its noun: "1 object", "3 objects". The plural of an irregular noun is given as many.
func Count(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// First lists the first most names: "a, b and 3 more".
func First(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Shorten cuts s after most runes, and then appends "...".
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "..."
		}
		n++
	}
	return s
}

// Revision shortens the full hash of a commit to 7 characters, as Git does. Other revisions are returned as they are.
func Revision(revision string) string {
	if (len(revision) == 40 || len(revision) == 64) && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision[:7]
	}
	return revision
}

// Ref shortens the digest of an image reference to 12 characters. A reference without a digest is returned as it is.
func Ref(ref string) string {
	const algorithm = "@sha256:"
	i := strings.Index(ref, algorithm)
	if i < 0 || len(ref) < i+len(algorithm)+64 {
		return ref
	}
	return ref[:i+len(algorithm)+12]
}

// Lines returns the lines of s that are not blank.
func Lines(s string) []string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// OneLine joins the words of s by single spaces.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Indent puts n spaces before each line of s that is not blank, and leaves blank lines out.
func Indent(s string, n int) string {
	lines := Lines(s)
	for i := range lines {
		lines[i] = strings.Repeat(" ", n) + lines[i]
	}
	return strings.Join(lines, "\n")
}
