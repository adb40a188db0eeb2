package sdk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/protocol"
)

// A type that is never asked: only its structs matter.
type source[C, O any] struct{}

func (source[C, O]) Observe(context.Context, sdk.ObserveRequest[C, O]) (o O, err error) {
	return o, nil
}

type image[C, O any] struct{ source[C, O] }

func (image[C, O]) Resolve(context.Context, sdk.ResolveRequest[C]) (r sdk.Resolved, err error) {
	return r, nil
}

type policy[C any] struct{}

func (policy[C]) Decide(context.Context, sdk.DecideRequest[C]) (d sdk.Decision, err error) {
	return d, nil
}

type none struct{}

func TestDescribe(t *testing.T) {
	type match struct {
		Pattern string `davit:"pattern" doc:"What to match."`
		Limit   int    `davit:"limit,optional" default:"10"`
		Secret  string `davit:"secret,optional,sensitive" deprecated:"use token"`
	}
	type auth struct {
		User string `davit:"user"`
		Role string `davit:"role,optional"`
	}
	type shared struct {
		URL string `davit:"url" doc:"Where it is."`
	}
	type config struct {
		shared
		Auth    auth                         `davit:"auth,optional"`
		Tags    map[string]sdk.Value[string] `davit:"tags,optional"`
		Timeout sdk.Duration                 `davit:"timeout,optional" default:"30s"`
		Depths  []int                        `davit:"depths" default:"[1, 2]"`
		Only    *match                       `davit:"only,block" doc:"At most one."`
		Rules   []match                      `davit:"rule,block"`
	}
	type outputs struct {
		sdk.SourceOutputs
		Token string `davit:"token,sensitive"`
	}
	p := sdk.New("example", "1.2.3", sdk.Source("x", source[config, outputs]{}, sdk.Description("An example."), sdk.CannotRecover()))
	want := &pluginv1.DescribeResponse{}
	block := `{"attributes": [
		{"name": "pattern", "type": %q, "required": true, "description": "What to match."},
		{"name": "limit", "type": %q, "default": {"json": "MTA="}},
		{"name": "secret", "type": %q, "sensitive": true, "deprecated": "use token"}]}`
	block = fmt.Sprintf(block, b64(`"string"`), b64(`"number"`), b64(`"string"`))
	text := fmt.Sprintf(`{"name": "example", "version": "1.2.3", "manyStacks": true, "types": [{"kind": "source", "name": "x", "description": "An example.", "cannotRecover": true,
		"config": {
			"attributes": [
				{"name": "url", "type": %q, "required": true, "description": "Where it is."},
				{"name": "auth", "type": %q},
				{"name": "tags", "type": %q},
				{"name": "timeout", "type": %q, "default": {"json": %q}},
				{"name": "depths", "type": %q, "default": {"json": %q}}],
			"blocks": [
				{"name": "only", "nesting": "NESTING_SINGLE", "description": "At most one.", "block": %s},
				{"name": "rule", "nesting": "NESTING_LIST", "block": %s}]},
		"outputs": {"attributes": [
			{"name": "revision", "type": %q, "required": true, "description": "Changes whenever the content changes."},
			{"name": "time", "type": %q, "required": true, "description": "When the revision was made, RFC 3339."},
			{"name": "tree", "type": %q, "required": true, "description": "The files."},
			{"name": "token", "type": %q, "required": true, "sensitive": true}]}}]}`,
		b64(`"string"`), b64(`["object",{"role":"string","user":"string"},["role"]]`), b64(`["map","string"]`), b64(`"string"`), b64(`"30s"`),
		b64(`["list","number"]`), b64(`[1,2]`), block, block,
		b64(`"string"`), b64(`"string"`), b64(`["object",{"digest":"string","path":"string"}]`), b64(`"string"`))
	if err := protojson.Unmarshal([]byte(text), want); err != nil {
		t.Fatal(err)
	}
	got := protocol.Describe(p)
	if !proto.Equal(want, got) {
		t.Errorf("the description differs (- want, + got):\n%s", cmp.Diff(protojson.Format(want), protojson.Format(got)))
	}
}

func TestDescribePolicy(t *testing.T) {
	d := protocol.Describe(sdk.New("example", "1", sdk.Policy("newest", policy[none]{}))).GetTypes()[0]
	got := map[string]string{}
	for _, a := range d.GetOutputs().GetAttributes() {
		got[a.GetName()] = string(a.GetType())
	}
	want := map[string]string{
		"tag": `"string"`, "digest": `"string"`, "ref": `"string"`, "reason": `"string"`,
		"rejected": `["list",["object",{"reason":"string","tag":"string"}]]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a policy's outputs differ (- want, + got):\n%s", diff)
	}
}

func TestNewPanics(t *testing.T) {
	type looped struct {
		Again []*looped `davit:"again,optional"`
	}
	type ok struct {
		X string `davit:"x"`
	}
	cases := map[string]struct {
		make func()
		want string
	}{
		"a type without place": {of[struct {
			X chan int `davit:"x"`
		}], "the type chan int is not supported"},
		"bytes": {of[struct {
			X []byte `davit:"x"`
		}], "the type uint8 is not supported"},
		"interface": {of[struct {
			X any `davit:"x"`
		}], "the type interface {} is not supported"},
		"map with other keys": {of[struct {
			X map[int]string `davit:"x"`
		}], "string keys"},
		"time.Duration": {of[struct {
			X time.Duration `davit:"x"`
		}], "sdk.Duration"},
		"time.Time": {of[struct {
			X time.Time `davit:"x"`
		}], "RFC 3339"},
		"Value of a pointer": {of[struct {
			X sdk.Value[*string] `davit:"x"`
		}], "must not contain a pointer"},
		"Value of a Value": {of[struct {
			X sdk.Value[sdk.Value[string]] `davit:"x"`
		}], "or another Value"},
		"pointer to a list": {of[struct {
			X *[]string `davit:"x"`
		}], "a pointer points to"},
		"a struct that holds itself": {of[looped], "contains itself"},
		"an object without fields": {of[struct {
			X struct{ Y string } `davit:"x"`
		}], "no fields with a davit tag"},
		"an option that there is not": {of[struct {
			X string `davit:"x,optionl"`
		}], `unknown option "optionl"`},
		"a name of another alphabet": {of[struct {
			X string `davit:"fooBar"`
		}], `"fooBar" is not a name`},
		"no name": {of[struct {
			X string `davit:",optional"`
		}], `"" is not a name`},
		"a field twice": {of[struct {
			X string `davit:"x"`
			Y string `davit:"x"`
		}], `two fields named "x"`},
		"not exported": {of[struct {
			x string `davit:"x"`
		}], "not exported"},
		"embedded pointer": {of[struct{ *ok }], "embeds a pointer"},
		"a block of text": {of[struct {
			X []string `davit:"x,block"`
		}], "a block must be a pointer to a struct"},
		"a block in an object": {of[struct {
			X struct {
				Y []ok `davit:"y,block"`
			} `davit:"x"`
		}], "a block can only be in"},
		"a sensitive block": {of[struct {
			X []ok `davit:"x,block,sensitive"`
		}], "cannot be sensitive"},
		"a secret in an object": {of[struct {
			X struct {
				Y string `davit:"y,sensitive"`
			} `davit:"x"`
		}], "only an attribute of a block can be sensitive"},
		"a block with a default": {of[struct {
			X []ok `davit:"x,block" default:"[]"`
		}], "no default"},
		"a default of another type": {of[struct {
			X int `davit:"x" default:"many"`
		}], `the default "many"`},
		"a default that is no time": {of[struct {
			X sdk.Duration `davit:"x" default:"30"`
		}], `"30" is not a duration`},
		"a default that is no JSON": {of[struct {
			X []string `davit:"x" default:"a,b"`
		}], "not JSON"},
		"davit's own attribute": {of[struct {
			X string `davit:"for_each"`
		}], `"for_each" is reserved for davit`},
		"an image's builds": {func() {
			sdk.Image("x", image[struct {
				B []string `davit:"builds"`
			}, sdk.ImageOutputs]{})
		}, `"builds" is reserved for davit`},
		"a policy's image": {func() {
			sdk.Policy("x", policy[struct {
				I string `davit:"image"`
			}]{})
		}, `"image" is reserved for davit`},
		"no outputs": {func() { sdk.Source("x", source[none, none]{}) }, `lack "revision", which every source must have: embed sdk.SourceOutputs`},
		"an output of another type": {func() {
			sdk.Image("x", image[none, struct {
				Repository string `davit:"repository"`
				Tags       string `davit:"tags"`
			}]{})
		}, `its output "tags" is string and must be list of string`},
		"a block in outputs": {func() {
			sdk.Source("x", source[none, struct {
				sdk.SourceOutputs
				B []ok `davit:"b,block"`
			}]{})
		}, "a block can only be in"},
		"no struct":                {func() { sdk.Source("x", source[string, sdk.SourceOutputs]{}) }, "string is not a struct"},
		"a type of no good name":   {func() { sdk.Source("X y", source[none, sdk.SourceOutputs]{}) }, `"X y" is not a name`},
		"a plugin of no good name": {func() { sdk.New("../x", "1") }, `"../x" is not a name`},
		"a type twice": {func() {
			x := sdk.Source("x", source[none, sdk.SourceOutputs]{})
			sdk.New("p", "1", x, x)
		}, `two types source "x"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, c.want) {
					t.Errorf("it said %q, want %q", said, c.want)
				}
			}()
			c.make()
		})
	}
}

// of makes a plugin with a configuration.
func of[C any]() { sdk.New("p", "1", sdk.Source("x", source[C, sdk.SourceOutputs]{})) }
