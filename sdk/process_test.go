package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/handshake"
)

// envServe makes this test's executable a plugin.
const envServe = "DAVIT_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(envServe) != "" {
		sdk.Serve(sdk.New("noisy", "1.2.3", sdk.Source("noisy", noisy{}), sdk.Source("large", large{})))
		return
	}
	os.Exit(m.Run())
}

// noisy prints wherever it can.
type noisy struct{}

func (noisy) Observe(context.Context, sdk.ObserveRequest[none, sdk.SourceOutputs]) (o sdk.SourceOutputs, err error) {
	for range 2000 { // more than a pipe holds
		fmt.Println("1|1|unix|/tmp/not-a-plugin|grpc| this looks like a handshake")
	}
	fmt.Fprintln(os.Stderr, "and this is an error")
	o.Revision = "seen"
	return o, nil
}

// large answers with as many megabytes as it is asked for, and takes any number.
type large struct{}

type largeConfig struct {
	Ballast string `davit:"ballast,optional"`
	MB      int    `davit:"mb"`
}

func (large) Observe(_ context.Context, r sdk.ObserveRequest[largeConfig, sdk.SourceOutputs]) (o sdk.SourceOutputs, err error) {
	c := r.Config
	o.Revision, o.Time = strings.Repeat("x", c.MB<<20), fmt.Sprint(len(c.Ballast))
	return o, nil
}

// start runs this executable as a plugin, as a host does.
func start(t *testing.T) (client pluginv1.PluginClient, sockets string, output func() string) {
	t.Helper()
	// A socket's path has about a hundred bytes at most, fewer than a test's own folder may need.
	sockets, err := os.MkdirTemp("", "davit") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	var out locked
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envServe+"=1", "PLUGIN_UNIX_SOCKET_DIR="+sockets)
	c := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: handshake.Config, Plugins: goplugin.PluginSet{handshake.Name: caller{}}, Cmd: cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, SyncStdout: &out, SyncStderr: &out,
		Logger: hclog.NewNullLogger(), SkipHostEnv: true,
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(handshake.MaxMessage), grpc.MaxCallSendMsgSize(handshake.MaxMessage))},
	})
	t.Cleanup(c.Kill)
	protocol, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense(handshake.Name)
	if err != nil {
		t.Fatal(err)
	}
	return raw.(pluginv1.PluginClient), sockets, out.String
}

// caller is the host's side of the service.
type caller struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (caller) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host serves nothing")
}

func (caller) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginv1.NewPluginClient(conn), nil
}

type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A plugin that prints to its standard output breaks nothing.
func TestServe(t *testing.T) {
	client, sockets, output := start(t)
	d, err := client.Describe(t.Context(), &pluginv1.DescribeRequest{})
	if err != nil || d.GetName() != "noisy" || d.GetVersion() != "1.2.3" || len(d.GetTypes()) != 2 {
		t.Fatalf("it describes itself as %v, %v", d, err)
	}
	if found, err := filepath.Glob(filepath.Join(sockets, "*")); err != nil || len(found) != 1 {
		t.Errorf("in the folder for sockets there are %v, %v", found, err)
	}
	for range 3 {
		res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: "source", Type: "noisy", Config: encode(t, client, "source", "noisy", `{}`)})
		if got := outputs(t, client, "source", "noisy", res.GetOutputs())["revision"].AsString(); got != "seen" {
			t.Fatalf("it answers %q", got)
		}
	}
	// What it prints arrives beside the answers, perhaps after them.
	for deadline := time.Now().Add(time.Minute); !strings.Contains(output(), "and this is an error"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("what it has printed is lost: %q", output())
		}
	}
	if !strings.Contains(output(), "this looks like a handshake") {
		t.Errorf("it has printed only %q", output())
	}
}

func TestServeLargeMessages(t *testing.T) {
	client, _, _ := start(t)
	config := fmt.Sprintf(`{"mb": 16, "ballast": %q}`, strings.Repeat("y", 16<<20))
	res, _ := ask(t, client, &pluginv1.PlanRequest{Kind: "source", Type: "large", Config: encode(t, client, "source", "large", config)})
	got := outputs(t, client, "source", "large", res.GetOutputs())
	if n := len(got["revision"].AsString()); n != 16<<20 || got["time"].AsString() != fmt.Sprint(16<<20) {
		t.Errorf("16 MB each way became %s and %d bytes", got["time"].AsString(), n)
	}
	// What is larger than any message is an answer that says so, and others go on.
	res, _ = ask(t, client, &pluginv1.PlanRequest{Kind: "source", Type: "large", Config: encode(t, client, "source", "large", `{"mb": 257}`)})
	if list := res.GetDiagnostics(); len(list) != 1 || list[0].GetCode() != "plugin.too-large" || !strings.Contains(list[0].GetSummary(), "257 MB, and the limit is 256 MB") {
		t.Errorf("257 MB: %v", list)
	}
	res, _ = ask(t, client, &pluginv1.PlanRequest{Kind: "source", Type: "large", Config: encode(t, client, "source", "large", `{"mb": 0}`)})
	if len(res.GetDiagnostics()) > 0 {
		t.Errorf("after it: %v", res)
	}
}

// Who runs a plugin by hand reads what it is.
func TestServeByHand(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envServe+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || out.Len() > 0 {
		t.Errorf("it ended with %v and printed %q", err, out.String())
	}
	want := "This is the davit plugin noisy 1.2.3. davit starts it by itself; name it in required_plugins.\n"
	if errs.String() != want {
		t.Errorf("it said %q, want %q", errs.String(), want)
	}
}
