package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/handshake"
	"github.com/davit-sh/davit/sdk/protocol"
)

// serveBadPlugin is a plugin that is bad in the way that $DAVIT_BAD says. Its one type is application "bad".
func serveBadPlugin() {
	mode := os.Getenv("DAVIT_BAD")
	switch socket := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/s"; mode {
	case "exits at once":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "speaks version 9":
		fmt.Println("1|9|unix|" + socket + "|grpc|")
		time.Sleep(time.Hour)
	case "prints garbage":
		fmt.Println("Loading modules... done.")
	}
	s := &badServer{PluginServer: protocol.Server(sdk.New("bad", "1.0.0", sdk.Application("bad", bad{}))), mode: mode}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake.Config, Plugins: goplugin.PluginSet{handshake.Name: badPlugin{plugin: s}}, GRPCServer: goplugin.DefaultGRPCServer,
	})
}

type badPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin pluginv1.PluginServer
}

func (b badPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServer(s, b.plugin)
	return nil
}

func (badPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a client")
}

type badConfig struct {
	Name string `davit:"name"`
}

// bad is an application that is nothing; what is bad about it is its server.
type bad struct{}

func (bad) Plan(_ context.Context, r sdk.PlanRequest[badConfig, sdk.ApplicationOutputs]) (sdk.PlanResult[sdk.ApplicationOutputs], error) {
	res := sdk.PlanResult[sdk.ApplicationOutputs]{Action: sdk.ActionNone}
	if r.Prior == nil || r.Prior.Outputs.Health.IsNull() { // not at all, or it was cut off
		res.Action = sdk.ActionCreate
	}
	res.Outputs.Health = sdk.Known("Current")
	return res, nil
}

func (bad) Apply(_ context.Context, r sdk.ApplyRequest[badConfig, sdk.ApplicationOutputs]) (sdk.Result[sdk.ApplicationOutputs], error) {
	return sdk.Result[sdk.ApplicationOutputs]{Outputs: r.Planned}, nil
}

func (bad) Destroy(context.Context, sdk.DestroyRequest[badConfig, sdk.ApplicationOutputs]) error {
	return nil
}

// badServer spoils what the server answers.
type badServer struct {
	pluginv1.PluginServer
	mode string
}

func (s *badServer) Describe(ctx context.Context, r *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d, err := s.PluginServer.Describe(ctx, r)
	if s.mode == "claims another's type" {
		d.Types[0].Name = "file"
	}
	return d, err
}

const tooMuch = 300 << 20

// misbehave does what is bad in a call; it may not return.
func (s *badServer) misbehave(in string) {
	switch s.mode {
	case "exits in " + in:
		fmt.Fprintln(os.NewFile(2, "stderr"), "out of luck")
		os.Exit(7)
	case "hangs in " + in:
		child() // and somebody else as well
		time.Sleep(time.Hour)
	case "floods in " + in:
		line := bytes.Repeat(append(bytes.Repeat([]byte("z"), 999), '\n'), 1000)
		out := bufio.NewWriterSize(os.NewFile(2, "stderr"), 1<<20)
		for range 1000 { // 1 GB
			_, _ = out.Write(line)
		}
		_ = out.Flush()
	}
}

// child starts a process that would outlive the plugin.
func child() {
	cmd := exec.Command("sleep", "3600")
	_ = cmd.Start()
}

type badPlanStream struct {
	grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]
	s  *badServer
	mu sync.Mutex
}

func (s *badServer) Plan(stream grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]) error {
	return s.PluginServer.Plan(&badPlanStream{BidiStreamingServer: stream, s: s})
}

func (p *badPlanStream) Send(m *pluginv1.PlanResponse) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.misbehave("plan")
	switch p.s.mode {
	case "answers for another":
		m.Id += 1000
	case "sends 300 MB in plan":
		m.GetResult().Private = make([]byte, tooMuch)
	}
	return p.BidiStreamingServer.Send(m)
}

type badApplyStream struct {
	grpc.ServerStreamingServer[pluginv1.ApplyResponse]
	s *badServer
}

func (s *badServer) Apply(r *pluginv1.ApplyRequest, stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]) error {
	return s.PluginServer.Apply(r, &badApplyStream{stream, s})
}

func (a *badApplyStream) Send(m *pluginv1.ApplyResponse) error {
	a.s.misbehave("apply")
	switch a.s.mode {
	case "sends 300 MB in apply":
		m.GetResult().Private = make([]byte, tooMuch)
	case "ends without a result":
		return nil
	}
	return a.ServerStreamingServer.Send(m)
}

// nothingLeft fails if a process of this script's plugins, or one that it has started, is there still.
func nothingLeft(ts *testscript.TestScript, _ bool, _ []string) {
	var left []string
	for range 250 { // what was killed takes a moment
		if left = processesWith(ts.MkAbs("plugins")); len(left) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("still there: %s", strings.Join(left, ", "))
}

// processesWith are the processes in whose command line or environment the text is.
func processesWith(text string) []string {
	var found []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if bytes.Contains(line, []byte(text)) || bytes.Contains(environ, []byte("DAVIT_BAD_OF="+text)) {
			found = append(found, fmt.Sprintf("%d %q", pid, line))
		}
	}
	return found
}

// interrupted runs davit, interrupts it twice when a file is there, and waits for its end.
func interrupted(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("davit")
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "DAVIT_CACHE_DIR", "DAVIT_BAD", "DAVIT_BAD_OF"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	for range 1000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	time.Sleep(300 * time.Millisecond) // two signals at once are one
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // it was interrupted
	ts.Check(os.WriteFile(ts.MkAbs("interrupted.txt"), out.Bytes(), 0o600))
}

// What looks for processes that are left finds one.
func TestWhatIsLeftIsFound(t *testing.T) {
	mark := t.TempDir()
	cmd := exec.Command("sleep", "3600")
	cmd.Env = append(os.Environ(), "DAVIT_BAD_OF="+mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	left := processesWith(mark)
	for end := time.Now().Add(10 * time.Second); len(left) == 0 && time.Now().Before(end); left = processesWith(mark) {
		time.Sleep(time.Millisecond) // a process has no environment yet just after it has started
	}
	if len(left) != 1 {
		t.Errorf("found %q", left)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if left := processesWith(mark); len(left) != 0 {
		t.Errorf("found %q", left)
	}
}
