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
	Path    Path   // of the argument that it is about; empty for the block
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

// HintText returns the hint; "" for a nil Error or one without a hint.
func (e *Error) HintText() string {
	if e == nil {
		return ""
	}
	return e.Hint
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Errorf makes an Error at a path of the configuration.
func Errorf(path Path, format string, args ...any) *Error {
	return &Error{Summary: fmt.Sprintf(format, args...), Path: path}
}

// Errors are several findings at once.
type Errors []*Error

// Unwrap returns the findings that are not nil, so that errors.As and errors.Is look into each of them.
func (e Errors) Unwrap() []error {
	var list []error
	for _, x := range e {
		if x != nil {
			list = append(list, x)
		}
	}
	return list
}

// Error joins the findings.
func (e Errors) Error() string {
	s := make([]string, len(e))
	for i, x := range e {
		s[i] = x.Error()
	}
	return strings.Join(s, "; ")
}

// notKnownError is the error that NotKnown returns.
type notKnownError struct{ path Path }

func (e *notKnownError) Error() string { return e.path.String() + " is not known yet" }

// NotKnown returns the error of a Plan that needs the value of an unknown argument. davit then plans the instance at apply, when
// the value is known, and treats all of its outputs as unknown before.
func NotKnown(argument string) error {
	return &notKnownError{At(argument)}
}
