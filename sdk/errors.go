package sdk

import (
	"fmt"
	"strings"
)

// Error is a finding that davit shows as a diagnostic on the block. Any other error is shown with its text.
type Error struct {
	Summary string // one line: what happened to what
	Detail  string // more, if there is more
	Hint    string // what to do next
	Code    string // stable, for machines: "registry.unauthorized"
	Path    []any  // into the configuration: strings (attributes, keys) and ints (indexes)
	Warning bool
	Err     error // the cause, for errors.Is; its text is shown only if Detail is empty
}

// Error returns the summary and the cause.
func (e *Error) Error() string {
	if e == nil { // one that was wrapped by mistake
		return "<nil>"
	}
	if e.Err != nil && e.Detail == "" {
		return e.Summary + ": " + e.Err.Error()
	}
	if e.Detail != "" {
		return e.Summary + ": " + e.Detail
	}
	return e.Summary
}

// HintText returns the hint, for who prints errors.
func (e *Error) HintText() string { return e.Hint }

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Errorf makes an Error at a path of the configuration.
func Errorf(path []any, format string, args ...any) *Error {
	return &Error{Summary: fmt.Sprintf(format, args...), Path: path}
}

// At makes a path: At("images", "acme/api").
func At(steps ...any) []any { return steps }

// Errors are several findings at once.
type Errors []*Error

// Error joins the findings.
func (e Errors) Error() string {
	s := make([]string, len(e))
	for i, x := range e {
		s[i] = x.Error()
	}
	return strings.Join(s, "; ")
}
