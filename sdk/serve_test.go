package sdk_test

import (
	"context"
	"encoding/base64"
	"net"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/wire"
)

// serve serves a plugin in this process and connects to it.
func serve(t testing.TB, p *sdk.Plugin) pluginv1.PluginClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	p.Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pluginv1.NewPluginClient(conn)
}

// described is what a plugin tells of one of its types.
func described(t testing.TB, client pluginv1.PluginClient, kind, name string) *pluginv1.Type {
	t.Helper()
	d, err := client.Describe(t.Context(), &pluginv1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range d.GetTypes() {
		if x.GetKind() == kind && x.GetName() == name {
			return x
		}
	}
	t.Fatalf("there is no %s %q", kind, name)
	return nil
}

// typeOf is the type of the values that davit sends for a block.
func typeOf(t testing.TB, b *pluginv1.Block) cty.Type {
	t.Helper()
	types := map[string]cty.Type{}
	for _, a := range b.GetAttributes() {
		ty, err := ctyjson.UnmarshalType(a.GetType())
		if err != nil {
			t.Fatal(err)
		}
		types[a.GetName()] = ty.WithoutOptionalAttributesDeep()
	}
	for _, n := range b.GetBlocks() {
		types[n.GetName()] = typeOf(t, n.GetBlock())
		if n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST {
			types[n.GetName()] = cty.List(types[n.GetName()])
		}
	}
	return cty.Object(types)
}

// unknown stands for a value that is not known yet, in what encode takes.
const unknown = "<unknown>"

// encode makes a configuration of JSON as davit does: absent attributes are null, strings that say so are unknown.
func encode(t testing.TB, client pluginv1.PluginClient, kind, name, json string) *pluginv1.Value {
	t.Helper()
	want := typeOf(t, described(t, client, kind, name).GetConfig())
	implied, err := ctyjson.ImpliedType([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ctyjson.Unmarshal([]byte(json), implied)
	if err != nil {
		t.Fatal(err)
	}
	attrs := map[string]cty.Value{}
	for a, ty := range want.AttributeTypes() {
		attrs[a] = cty.NullVal(ty)
		if !implied.HasAttribute(a) {
			continue
		}
		if x := v.GetAttr(a); x.Type() == cty.String && x.AsString() == unknown {
			attrs[a] = cty.UnknownVal(ty)
		} else if attrs[a], err = convert.Convert(x, ty); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
	}
	config, err := cty.Transform(cty.ObjectVal(attrs), func(_ cty.Path, x cty.Value) (cty.Value, error) {
		if x.Type() == cty.String && x.IsKnown() && !x.IsNull() && x.AsString() == unknown {
			return cty.UnknownVal(cty.String), nil
		}
		return x, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := wire.Encode(config, want)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// outputs reads what a plugin has answered.
func outputs(t testing.TB, client pluginv1.PluginClient, kind, name string, v *pluginv1.Value) map[string]cty.Value {
	t.Helper()
	c, err := wire.Decode(v, typeOf(t, described(t, client, kind, name).GetOutputs()))
	if err != nil {
		t.Fatal(err)
	}
	if c.IsNull() {
		t.Fatal("the answer has no outputs")
	}
	return c.AsValueMap()
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
