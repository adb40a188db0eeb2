package pluginhost

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Error is an error of a plugin, with the plugin's last lines of output.
type Error struct {
	Plugin  string   // name
	Doing   string   // what was being done: "planning build.oci.api"; may be empty
	Problem string   // what the plugin did, to be read after its name: "ended (exit status 2)"
	Detail  string   // more about the problem; may be empty
	Output  []string // the last lines that it wrote, oldest first, if they tell about the problem
	Hint    string   // what to do next; may be empty
	Err     error    // the cause, for errors.Is; may be nil
}

// reportIt is the hint for a defect of the plugin.
const reportIt = "This is a defect in the plugin. Please report it to its authors."

// Error is one sentence, followed by the plugin's last lines.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plugin %q %s", e.Plugin, e.Problem)
	if e.Doing != "" {
		b.WriteString(" while " + e.Doing)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	switch len(e.Output) {
	case 0:
	case 1:
		b.WriteString("; its last output: " + e.Output[0])
	default:
		b.WriteString("; its last output:\n  " + strings.Join(e.Output, "\n  "))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HintText returns what to do next.
func (e *Error) HintText() string { return e.Hint }

// escape matches the control sequences of terminals.
var escape = regexp.MustCompile(`\x1b\[[0-9;:<=>?]*[ -/]*[@-~]`)

// printable returns a text that is safe to show: without control characters, and in valid UTF-8.
func printable(s string) string {
	s = escape.ReplaceAllLiteralString(s, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
