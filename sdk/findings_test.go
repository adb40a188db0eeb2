package sdk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func TestDiagnostics(t *testing.T) {
	unauthorized := &Error{
		Summary: "registry.example.com refused the credentials", Detail: "401", Hint: "Run docker login.", Code: "registry.unauthorized",
		Path: At("images").Key("acme/api"),
	}
	const asIs = `{"severity": "SEVERITY_ERROR", "summary": "registry.example.com refused the credentials", "detail": "401", "hint": "Run docker login.",
		"code": "registry.unauthorized", "path": [{"attribute": "images"}, {"key": "acme/api"}]}`
	var nilError *Error
	cases := map[string]struct {
		err  error
		want string // JSON of the diagnostics
	}{
		"none":                 {nil, ``},
		"a nil *Error":         {nilError, ``},
		"no Errors":            {Errors{}, ``},
		"Errors with a nil":    {Errors{nil}, ``},
		"plain":                {errors.New("no route to host"), `{"severity": "SEVERITY_ERROR", "summary": "no route to host"}`},
		"plain, several lines": {errors.New("exit status 1\nstep 3\nfailed\n"), `{"severity": "SEVERITY_ERROR", "summary": "exit status 1", "detail": "step 3\nfailed"}`},
		"not text":             {errors.New("caf\xe9"), `{"severity": "SEVERITY_ERROR", "summary": "caf` + "\uFFFD" + `"}`},
		"an Error":             {unauthorized, asIs},
		"its cause":            {&Error{Summary: "cannot read", Err: errors.New("EOF")}, `{"severity": "SEVERITY_ERROR", "summary": "cannot read", "detail": "EOF"}`},
		"a warning":            {&Error{Summary: "old", Warning: true}, `{"severity": "SEVERITY_WARNING", "summary": "old"}`},
		"wrapped": {fmt.Errorf("reading the tags: %w", &Error{Summary: "refused", Code: "x"}),
			`{"severity": "SEVERITY_ERROR", "summary": "reading the tags: refused", "code": "x"}`},
		"wrapped with text behind": {fmt.Errorf("%w (twice)", &Error{Summary: "refused", Code: "x"}),
			`{"severity": "SEVERITY_ERROR", "summary": "refused", "code": "x"}`},
		"wrapped Errors": {fmt.Errorf("checking: %w", Errors{{Summary: "a"}}),
			`{"severity": "SEVERITY_ERROR", "summary": "checking: a"}`},
		"a wrapped nil *Error is still an error": {fmt.Errorf("odd: %w", nilError), `{"severity": "SEVERITY_ERROR", "summary": "odd: <nil>"}`},
		"several":                                {Errors{unauthorized, {Summary: "b"}}, asIs + `,{"severity": "SEVERITY_ERROR", "summary": "b"}`},
		"joined": {errors.Join(unauthorized, errors.New("b"), Errors{{Summary: "c"}}),
			asIs + `,{"severity": "SEVERITY_ERROR", "summary": "b"},{"severity": "SEVERITY_ERROR", "summary": "c"}`},
		"of several causes": {fmt.Errorf("both %w and %w", errors.New("a"), unauthorized), asIs},
		"of plain causes":   {fmt.Errorf("both %w and %w", errors.New("a"), errors.New("b")), `{"severity": "SEVERITY_ERROR", "summary": "both a and b"}`},
		"cancelled":         {fmt.Errorf("pushing: %w", context.Canceled), `{"severity": "SEVERITY_ERROR", "summary": "stopped before it was done", "code": "cancelled"}`},
		"cancelled, as an Error": {&Error{Summary: "the push was stopped", Err: context.Canceled},
			`{"severity": "SEVERITY_ERROR", "summary": "the push was stopped", "detail": "context canceled", "code": "cancelled"}`},
		"a path into an object": {Errorf(At("source").Attribute("tree").Attribute("digest"), "x"),
			`{"severity": "SEVERITY_ERROR", "summary": "x", "path": [{"attribute": "source"}, {"attribute": "tree"}, {"attribute": "digest"}]}`},
		"a path into a block": {Errorf(At("rule").Index(1).Attribute("name"), "x"),
			`{"severity": "SEVERITY_ERROR", "summary": "x", "path": [{"attribute": "rule"}, {"index": "1"}, {"attribute": "name"}]}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := &pluginv1.ValidateResponse{}
			if err := protojson.Unmarshal([]byte(`{"diagnostics": [`+c.want+`]}`), want); err != nil {
				t.Fatal(err)
			}
			got := &pluginv1.ValidateResponse{Diagnostics: diagnostics(findings(c.err))}
			if !proto.Equal(want, got) {
				t.Errorf("the diagnostics differ (- want, + got):\n%s", cmp.Diff(protojson.Format(want), protojson.Format(got)))
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]error{
		"a: b":    &Error{Summary: "a", Detail: "b", Err: errors.New("c")},
		"a: c":    &Error{Summary: "a", Err: errors.New("c")},
		"a":       Errorf(nil, "%s", "a"),
		"a; b: c": Errors{{Summary: "a"}, {Summary: "b", Detail: "c"}},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err.Error(), want)
		}
	}
}
