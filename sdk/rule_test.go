package sdk_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/protocol"
)

type ruledBlock struct {
	Mode string `davit:"mode,optional" default:"min" enum:"min,max"`
}

type ruled struct {
	Name   string              `davit:"name,optional" pattern:"^[a-z]+$" min:"2" max:"5"`
	Level  sdk.Value[int]      `davit:"level,optional" min:"1" max:"10"`
	Share  *float64            `davit:"share,optional" min:"0.5"`
	Kinds  []string            `davit:"kinds,optional" enum:"red, green,blue" max:"2"`
	Labels map[string]string   `davit:"labels,optional" pattern:"^.?$" min:"1"`
	Token  string              `davit:"token,optional,sensitive" pattern:"^tok-"`
	Branch string              `davit:"branch,optional" deprecated:"Use ref instead."`
	Depth  int                 `davit:"depth,optional" default:"1" deprecated:"It has no effect."`
	Old    sdk.Value[string]   `davit:"old,optional" deprecated:"Use new instead."`
	Blocks []ruledBlock        `davit:"block,block"`
	Free   map[string]sdk.Tree `davit:"free,optional"`
}

func TestRulesAreInTheSchema(t *testing.T) {
	got := map[string]*pluginv1.Attribute{}
	for _, a := range protocol.Describe(sdk.New("x", "1", sdk.Source("x", source[ruled, sdk.SourceOutputs]{}))).GetTypes()[0].GetConfig().GetAttributes() {
		got[a.GetName()] = a
	}
	if a := got["name"]; a.GetPattern() != "^[a-z]+$" || a.GetMin() != 2 || a.GetMax() != 5 {
		t.Errorf("name: %v", a)
	}
	if a := got["kinds"]; !slices.Equal(a.GetEnum(), []string{"red", "green", "blue"}) || a.Min != nil || a.GetMax() != 2 {
		t.Errorf("kinds: %v", a)
	}
	if a := got["share"]; a.GetMin() != 0.5 || a.Max != nil {
		t.Errorf("share: %v", a)
	}
	if a := got["free"]; a.GetPattern() != "" || a.GetEnum() != nil || a.Min != nil || a.Max != nil {
		t.Errorf("free: %v", a)
	}
}

func TestRulesAreChecked(t *testing.T) {
	client := serve(t, sdk.New("x", "1", sdk.Source("x", source[ruled, sdk.SourceOutputs]{})))
	for _, test := range []struct {
		config string
		want   []string // path: message
	}{
		{`{}`, nil},
		{`{"name": "abc", "level": 10, "share": 0.5, "kinds": ["red"], "labels": {"a": "b"}, "token": "tok-x", "block": [{"mode": "max"}]}`, nil},
		{`{"name": "Abc"}`, []string{`name: "Abc" does not match ^[a-z]+$`}},
		{`{"name": "a"}`, []string{`name: must have at least 2 characters, not 1`}},
		{`{"name": "äöü"}`, []string{`name: "äöü" does not match ^[a-z]+$`}}, // three characters
		{`{"name": "abcdef"}`, []string{`name: must have at most 5 characters, not 6`}},
		{`{"level": 11}`, []string{`level: must be at most 10, not 11`}},
		{`{"level": 0}`, []string{`level: must be at least 1, not 0`}},
		{`{"share": 0.25}`, []string{`share: must be at least 0.5, not 0.25`}},
		{`{"kinds": ["red", "pink"]}`, []string{`kinds[1]: must be "red", "green" or "blue", not "pink"`}},
		{`{"kinds": ["red", "red", "red"]}`, []string{`kinds: must have at most 2 elements, not 3`}},
		{`{"labels": {"a": "bc"}}`, []string{`labels[a]: "bc" does not match ^.?$`}},
		{`{"labels": {}}`, []string{`labels: must have at least 1 element, not 0`}},
		{`{"token": "hunter2"}`, []string{`token: this value is not allowed: it must match ^tok-`}},
		{`{"block": [{"mode": "min"}, {"mode": "mid"}]}`, []string{`block[1].mode: must be "min" or "max", not "mid"`}},
		{`{"name": "A", "level": 0}`, []string{`name: must have at least 2 characters, not 1`, `name: "A" does not match ^[a-z]+$`, `level: must be at least 1, not 0`}},
		{`{"branch": "main", "depth": 2, "old": "x"}`, []string{"warning branch: branch is deprecated: Use ref instead.", "warning depth: depth is deprecated: It has no effect.", "warning old: old is deprecated: Use new instead."}},
		{`{"depth": 1}`, nil},
	} {
		config := encode(t, client, "source", "x", test.config)
		v, err := client.Validate(t.Context(), &pluginv1.ValidateRequest{Kind: "source", Type: "x", Config: config})
		if err != nil {
			t.Fatal(err)
		}
		res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: "source", Type: "x", Config: config})
		for call, list := range map[string][]*pluginv1.Diagnostic{"Validate": v.GetDiagnostics(), "Plan": res.GetDiagnostics()} {
			if got := told(list); !slices.Equal(got, test.want) {
				t.Errorf("%s of %s says %q, want %q", call, test.config, got, test.want)
			}
		}
	}
}

// told writes diagnostics as "path: summary: detail".
func told(list []*pluginv1.Diagnostic) []string {
	var out []string
	for _, d := range list {
		var b strings.Builder
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING {
			b.WriteString("warning ")
		}
		for i, s := range d.GetPath() {
			switch s := s.GetStep().(type) {
			case *pluginv1.PathStep_Attribute:
				if i > 0 {
					b.WriteString(".")
				}
				b.WriteString(s.Attribute)
			case *pluginv1.PathStep_Key:
				b.WriteString("[" + s.Key + "]")
			case *pluginv1.PathStep_Index:
				b.WriteString("[" + string(rune('0'+s.Index)) + "]")
			}
		}
		b.WriteString(": " + d.GetSummary())
		if d.GetDetail() != "" {
			b.WriteString(": " + d.GetDetail())
		}
		out = append(out, b.String())
	}
	return out
}

// What is not known yet breaks no rule, and what exists can be deleted whatever the rules have become.
func TestRulesDoNotStandInTheWay(t *testing.T) {
	client := serve(t, sdk.New("x", "1", sdk.Application("x", kept{})))
	v, err := client.Validate(t.Context(), &pluginv1.ValidateRequest{Kind: "application", Type: "x", Config: &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: []byte("\x81\xa4name\xd4\x00\x00")}}})
	if err != nil || len(v.GetDiagnostics()) > 0 {
		t.Errorf("unknown: %v, %v", v, err)
	}
	bad := encode(t, client, "application", "x", `{"name": "BAD"}`)
	res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: "application", Type: "x", Config: bad, Prior: &pluginv1.Record{Config: bad}, Destroy: true})
	if len(res.GetDiagnostics()) > 0 || res.GetAction() != pluginv1.Action_ACTION_DELETE {
		t.Errorf("deleting: %v", res)
	}
	res, _ = ask(t, client, &pluginv1.PlanRequest{Kind: "application", Type: "x", Config: bad, Prior: &pluginv1.Record{Config: bad}})
	if len(res.GetDiagnostics()) != 1 {
		t.Errorf("keeping: %v", res)
	}
}

type keptConfig struct {
	Name string `davit:"name" pattern:"^[a-z]*$"`
}

type kept struct {
	sdk.Managed[keptConfig, sdk.ApplicationOutputs]
}

func (kept) Plan(_ context.Context, r sdk.PlanRequest[keptConfig, sdk.ApplicationOutputs]) (sdk.PlanResult[sdk.ApplicationOutputs], error) {
	if r.Destroy {
		return sdk.PlanResult[sdk.ApplicationOutputs]{Action: sdk.ActionDelete}, nil
	}
	return sdk.PlanResult[sdk.ApplicationOutputs]{Action: sdk.ActionNone}, nil
}

func TestRulesThatMakeNoSense(t *testing.T) {
	type badPattern struct {
		X string `davit:"x" pattern:"("`
	}
	type patternOfNumber struct {
		X int `davit:"x" pattern:"a"`
	}
	type enumOfBool struct {
		X bool `davit:"x" enum:"a,b"`
	}
	type minOfBool struct {
		X bool `davit:"x" min:"1"`
	}
	type badMin struct {
		X int `davit:"x" min:"one"`
	}
	type crossed struct {
		X int `davit:"x" min:"2" max:"1"`
	}
	type badDefault struct {
		X string `davit:"x" enum:"a,b" default:"c"`
	}
	type inner struct {
		Y string `davit:"y" min:"1"`
	}
	type ofObject struct {
		X inner `davit:"x"`
	}
	type output struct {
		sdk.SourceOutputs
		X string `davit:"x" min:"1"`
	}
	for want, make := range map[string]func() sdk.Type{
		"the pattern: error parsing":                              func() sdk.Type { return sdk.Source("x", source[badPattern, sdk.SourceOutputs]{}) },
		"pattern and enum are for texts":                          func() sdk.Type { return sdk.Source("x", source[patternOfNumber, sdk.SourceOutputs]{}) },
		"for texts and for lists and maps of texts, not for bool": func() sdk.Type { return sdk.Source("x", source[enumOfBool, sdk.SourceOutputs]{}) },
		"min is for numbers":                                      func() sdk.Type { return sdk.Source("x", source[minOfBool, sdk.SourceOutputs]{}) },
		`min "one" is not a number`:                               func() sdk.Type { return sdk.Source("x", source[badMin, sdk.SourceOutputs]{}) },
		"min is larger than max":                                  func() sdk.Type { return sdk.Source("x", source[crossed, sdk.SourceOutputs]{}) },
		`the default: must be "a" or "b", not "c"`:                func() sdk.Type { return sdk.Source("x", source[badDefault, sdk.SourceOutputs]{}) },
		"are for the attributes of a configuration":               func() sdk.Type { return sdk.Source("x", source[ofObject, sdk.SourceOutputs]{}) },
		"for the attributes of a configuration and of blocks":     func() sdk.Type { return sdk.Source("x", source[none, output]{}) },
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, want) {
					t.Errorf("it says %q, want %q", p, want)
				}
			}()
			sdk.New("x", "1", make())
		}()
	}
}
