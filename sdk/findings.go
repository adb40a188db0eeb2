package sdk

import (
	"context"
	"errors"
	"strings"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

const codeCancelled = "cancelled"

// findings returns the findings in an error, in order: every returned, joined or wrapped *Error,
// and other errors by their text. An error without a finding, such as empty Errors, gives none.
func findings(err error) Errors {
	switch e := err.(type) { //nolint:errorlint // this is what unwraps
	case nil:
		return nil
	case *Error:
		if e == nil {
			return nil
		}
		return Errors{e.complete()}
	case Errors:
		var all Errors
		for _, x := range e {
			all = append(all, findings(x)...)
		}
		return all
	case interface{ Unwrap() []error }:
		if all := joined(err, e.Unwrap()); len(all) > 0 {
			return all
		}
	case interface{ Unwrap() error }:
		if all := around(err, e.Unwrap()); len(all) > 0 {
			return all
		}
	}
	if errors.Is(err, context.Canceled) {
		return Errors{{Summary: "stopped before it was done", Code: codeCancelled}}
	}
	return Errors{plain(err.Error())}
}

// complete adds the text of the wrapped cause, and the code of a cancelled context, to a finding.
func (e *Error) complete() *Error {
	x := *e
	if x.Detail == "" && x.Err != nil {
		x.Detail = x.Err.Error()
	}
	if x.Code == "" && errors.Is(x.Err, context.Canceled) {
		x.Code = codeCancelled
	}
	return &x
}

// plain is a finding of an error that has only its text. A summary has one line.
func plain(message string) *Error {
	first, more, _ := strings.Cut(strings.TrimSpace(message), "\n")
	if more == "" {
		return &Error{Summary: first}
	}
	return &Error{Summary: first, Detail: more}
}

func holdsFinding(err error) bool {
	var one *Error
	var many Errors
	return err != nil && (errors.As(err, &one) || errors.As(err, &many))
}

// around are the findings of a wrapped error, none if it wraps another kind of error. What was wrapped
// around them says what was being done.
func around(err, inner error) Errors {
	if !holdsFinding(inner) {
		return nil
	}
	all := findings(inner)
	before, ok := strings.CutSuffix(err.Error(), inner.Error())
	if !ok {
		return all
	}
	for i, e := range all {
		x := *e
		x.Summary = before + x.Summary
		all[i] = &x
	}
	return all
}

// joined are the findings of several errors: of all of them if they are simply joined, else of those that
// were made as findings.
func joined(err error, list []error) Errors {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = e.Error()
	}
	simply := err.Error() == strings.Join(texts, "\n")
	var all Errors
	for _, e := range list {
		if simply || holdsFinding(e) {
			all = append(all, findings(e)...)
		}
	}
	return all
}

// failed returns whether one of the findings is an error.
func (e Errors) failed() bool {
	for _, x := range e {
		if !x.Warning {
			return true
		}
	}
	return false
}

// diagnostics returns findings in the protocol's form.
func diagnostics(list Errors) []*pluginv1.Diagnostic {
	var out []*pluginv1.Diagnostic
	for _, e := range list {
		d := &pluginv1.Diagnostic{
			Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: utf8(e.Summary), Detail: utf8(e.Detail), Code: utf8(e.Code), Hint: utf8(e.Hint),
			Path: protoPath(e.Path),
		}
		if e.Warning {
			d.Severity = pluginv1.Diagnostic_SEVERITY_WARNING
		}
		out = append(out, d)
	}
	return out
}

func protoPath(path Path) []*pluginv1.PathStep {
	steps := make([]*pluginv1.PathStep, len(path))
	for i, s := range path {
		steps[i] = &pluginv1.PathStep{}
		switch s.kind {
		case atAttribute:
			steps[i].Step = &pluginv1.PathStep_Attribute{Attribute: utf8(s.name)}
		case atKey:
			steps[i].Step = &pluginv1.PathStep_Key{Key: utf8(s.name)}
		case atIndex:
			steps[i].Step = &pluginv1.PathStep_Index{Index: int64(s.index)}
		}
	}
	return steps
}
