// Package docs_test holds the documentation to what davit does.
package docs_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/pluginhost"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/handshake"
	"github.com/davit-sh/davit/sdk/protocol"
	"github.com/davit-sh/davit/sdk/wire"
)

// The test binary is also a plugin that knows nothing but what the page on the protocol says.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "as-plugin" {
		byTheBook(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "as-page-plugin" {
		sdk.Serve(pagePlugin(os.Args[2]))
		return
	}
	os.Exit(m.Run())
}

// byTheBook prints a handshake line and serves, with plain gRPC and nothing of go-plugin.
func byTheBook(line string) {
	if os.Getenv("DAVIT_PLUGIN") != documented["DAVIT_PLUGIN"] {
		os.Exit(1)
	}
	dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(256 << 20))
	var names []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	pluginv1.RegisterPluginServer(s, described{protocol.Server(sdk.New("book", "1.0.0")), strings.Join(names, " ")})
	shutdown := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		go s.Stop()
		return &emptypb.Empty{}, decode(&emptypb.Empty{})
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "plugin.GRPCController", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Shutdown", Handler: shutdown}},
	}, nil)
	fmt.Println(strings.ReplaceAll(line, "$PLUGIN_UNIX_SOCKET_DIR", dir))
	_ = s.Serve(l)
}

// described says what is in its environment as its version.
type described struct {
	pluginv1.PluginServer
	names string
}

func (d described) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Name: "book", Version: d.names}, nil
}

// documented are values that the page gives and that the plugin above takes as given.
var documented = map[string]string{"DAVIT_PLUGIN": "8a4f2b61c09d4e7f"}

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("plugin-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tables returns the rows of all tables that have this head, cell by cell, without the marks of code.
func tables(t *testing.T, text, head string) [][]string {
	t.Helper()
	var rows [][]string
	in := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == head:
			in = true
		case !in || strings.HasPrefix(line, "|---"):
		case !strings.HasPrefix(line, "|"):
			in = false
		default:
			cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00"), "|")
			for i, c := range cells {
				cells[i] = strings.ReplaceAll(strings.TrimSpace(c), "\x00", "|")
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("there is no table %q", head)
	}
	return rows
}

func code(cell string) string { return strings.Trim(cell, "`") }

func started(t *testing.T, line string) (*pluginhost.Client, error) {
	t.Helper()
	h := pluginhost.New(pluginhost.Options{Version: "9.9", Plugins: map[string]pluginhost.Executable{"book": {Path: os.Args[0], Args: []string{"as-plugin", line}}}})
	t.Cleanup(func() { _ = h.Close() })
	return h.Client(t.Context(), "book")
}

func TestHandshakeLines(t *testing.T) {
	for _, row := range tables(t, page(t), "| line | davit |") {
		t.Run(row[0], func(t *testing.T) {
			c, err := started(t, code(row[0]))
			if row[1] != "connects" {
				if err == nil || !strings.Contains(err.Error(), row[1]) {
					t.Errorf("davit says %v, the page %q", err, row[1])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d, err := c.Describe(t.Context()); err != nil || d.GetName() != "book" {
				t.Errorf("%v, %v", d, err)
			}
		})
	}
}

func TestAPluginByTheBookEndsWhenItIsAsked(t *testing.T) {
	h := pluginhost.New(pluginhost.Options{Plugins: map[string]pluginhost.Executable{"book": {Path: os.Args[0], Args: []string{"as-plugin", "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/s|grpc"}}}})
	c, err := h.Client(t.Context(), "book")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if how, ended := c.Ended(); !ended || how != "exit status 0" {
		t.Errorf("it ended with %q", how)
	}
}

var reName = regexp.MustCompile("`([A-Za-z_]+)`")

func TestEnvironment(t *testing.T) {
	text := page(t)
	cookie := tables(t, text, "| variable | meaning |")[0]
	if code(cookie[0]) != handshake.Config.MagicCookieKey || !strings.Contains(cookie[1], handshake.Config.MagicCookieValue) {
		t.Errorf("the page says %s is %s", cookie[0], cookie[1])
	}
	expand := map[string]string{"XDG_": "XDG_X", "LC_": "LC_ALL", "BUILDX_": "BUILDX_X", "KUBERNETES_SERVICE_": "KUBERNETES_SERVICE_HOST", "DAVIT_": "DAVIT_X", "DAVIT_VAR_": "DAVIT_VAR_x"}
	names := func(head string) []string {
		var list []string
		for _, row := range tables(t, text, head) {
			for _, m := range reName.FindAllStringSubmatch(row[0], -1) {
				name := m[1]
				if full, ok := expand[name]; ok {
					name = full
				}
				list = append(list, name)
			}
		}
		return list
	}
	t.Setenv("TMPDIR", t.TempDir())
	passed, kept := names("| passed on |"), names("| kept back |")
	for _, name := range slices.Concat(passed, kept) {
		if os.Getenv(name) == "" && name != pluginhost.ReattachVariable && name != "GOMEMLIMIT" && name != "GOMAXPROCS" {
			t.Setenv(name, "x")
		}
	}
	t.Setenv("GOMEMLIMIT", "1GiB")
	t.Setenv("GOMAXPROCS", "2")
	t.Setenv(pluginhost.ReattachVariable, "{}")
	c, err := started(t, "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/s|grpc|")
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := strings.Fields(d.GetVersion())
	for _, name := range slices.Concat(passed, names("| variable | meaning |")) {
		if !slices.Contains(seen, name) && name != "PLUGIN_CLIENT_CERT" {
			t.Errorf("the page says that a plugin sees %s, and it does not", name)
		}
	}
	for _, name := range append(kept, "PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC") {
		if slices.Contains(seen, name) {
			t.Errorf("the page says that a plugin does not see %s, and it does", name)
		}
	}
}

// value reads the first two cells of a row of values.
func value(t *testing.T, row []string) (*pluginv1.Value, cty.Type) {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(code(row[0]), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	typ, err := ctyjson.UnmarshalType([]byte(code(row[1])))
	if err != nil {
		t.Fatal(err)
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: raw}}, typ
}

func TestKnownValues(t *testing.T) {
	for _, row := range tables(t, page(t), "| MessagePack | type | JSON |") {
		packed, typ := value(t, row)
		v, err := wire.Decode(packed, typ)
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		same, err := wire.Decode(&pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(code(row[2]))}}, typ)
		if err != nil || !same.RawEquals(v) {
			t.Errorf("%s is %#v, and %s is %#v (%v)", row[0], v, row[2], same, err)
		}
		again, err := wire.Encode(v, typ)
		if err != nil || string(again.GetMsgpack()) != string(packed.GetMsgpack()) {
			t.Errorf("%s: davit writes % x (%v)", row[0], again.GetMsgpack(), err)
		}
	}
}

func TestUnknownValues(t *testing.T) {
	for _, row := range tables(t, page(t), "| MessagePack | type | means |") {
		packed, typ := value(t, row)
		v, err := wire.Decode(packed, typ)
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		if got := words(v); got != row[2] {
			t.Errorf("%s means %q, the page says %q", row[0], got, row[2])
		}
		again, err := wire.Encode(v, typ)
		if err != nil || string(again.GetMsgpack()) != string(packed.GetMsgpack()) {
			t.Errorf("%s: davit writes % x (%v)", row[0], again.GetMsgpack(), err)
		}
	}
}

// words says what is known of an unknown value.
func words(v cty.Value) string {
	if v.IsKnown() {
		return fmt.Sprintf("%#v", v)
	}
	text, r := "unknown", v.Range()
	if r.DefinitelyNotNull() {
		text += ", not null"
	}
	switch {
	case v.Type() == cty.String && r.StringPrefix() != "":
		text += fmt.Sprintf(", begins with %q", r.StringPrefix())
	case v.Type() == cty.Number:
		if least, in := r.NumberLowerBound(); in && least != cty.NegativeInfinity {
			text += ", at least " + least.AsBigFloat().Text('f', 0)
		}
	case v.Type().IsListType() && r.LengthLowerBound() > 0:
		text += fmt.Sprintf(", %d element or more", r.LengthLowerBound())
	}
	return text
}

func TestRefusedValues(t *testing.T) {
	for _, row := range tables(t, page(t), "| MessagePack | type | error |") {
		packed, typ := value(t, row)
		if v, err := wire.Decode(packed, typ); err == nil || !strings.Contains(err.Error(), row[2]) {
			t.Errorf("%s: %#v, %v; the page says %q", row[0], v, err, row[2])
		}
	}
}

// What the kinds promise is what davit asks for: a type with one of these outputs missing is refused.
func TestPromises(t *testing.T) {
	kinds := 0
	for _, row := range tables(t, page(t), "| kind | outputs that every type of it has |") {
		kinds++
		var names []string
		for _, m := range reName.FindAllStringSubmatch(strings.Split(row[1], " object")[0], -1) {
			names = append(names, m[1])
		}
		if row[0] == "source" {
			names = append(names, "time")
		}
		if row[0] == "notification" {
			names = nil
		}
		if row[0] == "policy" {
			names = []string{"tag", "digest", "ref", "reason", "rejected"}
		}
		typ := func(without string) *pluginv1.DescribeResponse {
			out := &pluginv1.Block{}
			for _, n := range names {
				if n != without {
					out.Attributes = append(out.Attributes, &pluginv1.Attribute{Name: n, Type: []byte(`"string"`)})
				}
			}
			return &pluginv1.DescribeResponse{Types: []*pluginv1.Type{{Kind: row[0], Name: "x", Outputs: out, Config: &pluginv1.Block{}}}}
		}
		if err := types.NewCatalogue().Add("p", typ("")); err != nil {
			t.Errorf("%s with %v: %v", row[0], names, err)
		}
		for _, n := range names {
			if types.NewCatalogue().Add("p", typ(n)) == nil {
				t.Errorf("davit does not ask for the output %q of a %s", n, row[0])
			}
		}
	}
	if kinds != 6 {
		t.Errorf("the page has %d kinds", kinds)
	}
}

// Each call of the protocol has its section, and the largest message is the one that is told.
func TestEveryCallIsTold(t *testing.T) {
	text := page(t)
	service := pluginv1.Plugin_ServiceDesc
	var calls []string
	for _, m := range service.Methods {
		calls = append(calls, m.MethodName)
	}
	for _, s := range service.Streams {
		calls = append(calls, s.StreamName)
	}
	for _, c := range calls {
		if !strings.Contains(text, "\n### "+c+"\n") {
			t.Errorf("there is no section about %s", c)
		}
	}
	if !strings.Contains(text, fmt.Sprintf("(%d bytes)", handshake.MaxMessage)) {
		t.Error("the size of the largest message is not told")
	}
	if !strings.Contains(text, "`"+service.ServiceName+"`") {
		t.Error("the service is not named")
	}
}

// The example of DAVIT_REATTACH is one that davit reads.
func TestReattachExample(t *testing.T) {
	_, rest, _ := strings.Cut(page(t), "```json\n")
	example, _, _ := strings.Cut(rest, "```")
	if !json.Valid([]byte(example)) {
		t.Fatalf("it is not JSON: %s", example)
	}
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	sdk.New("feed", "1.0.0").Register(s)
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	example = strings.Replace(example, "/tmp/plugin123", l.Addr().String(), 1)
	example = strings.Replace(example, "4711", fmt.Sprint(os.Getpid()), 1)
	reattach, err := pluginhost.ParseReattach(example)
	if err != nil {
		t.Fatal(err)
	}
	h := pluginhost.New(pluginhost.Options{Reattach: reattach, StartTimeout: time.Minute})
	defer h.Close()
	c, err := h.Client(t.Context(), "feed")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := c.Describe(t.Context()); err != nil || d.GetName() != "feed" {
		t.Errorf("%v, %v", d, err)
	}
}
