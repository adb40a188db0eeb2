package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/handshake"
)

// The test binary is also the misbehaving plugin, what that plugin starts, the guard, and a host to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "as-plugin":
			fakePlugin(os.Args[2])
			return
		case "as-sleeper":
			time.Sleep(time.Hour)
			return
		case "as-guard":
			Guard(os.Stdin)
			return
		case "as-host":
			hostToBeKilled(os.Args[2])
			return
		}
	}
	os.Exit(m.Run())
}

// fakePlugin starts in the way that mode names, and then serves fake.
func fakePlugin(mode string) {
	say := func(line string) {
		fmt.Println(line)
		time.Sleep(time.Hour)
	}
	socket := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/s"
	switch mode {
	case "shareable":
		sdk.Serve(shareable())
		return
	case "good", "refuses", "dies-in-configure", "hangs-in-configure", "floods":
	case "exits":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "panics":
		var m map[string]int
		fmt.Fprintln(os.Stderr, "starting up")
		m["x"] = 1 //nolint:staticcheck // it is meant to panic
	case "closes":
		_ = os.Stdout.Close()
		time.Sleep(time.Hour)
	case "garbage":
		say("Welcome to \x1b[31mplugin\x1b[0m 1.0!")
	case "long-garbage":
		say(strings.Repeat("x", 1<<20))
	case "hangs":
		time.Sleep(time.Hour)
	case "newer":
		say("1|7|unix|" + socket + "|grpc|")
	case "netrpc":
		say("1|1|unix|" + socket + "|netrpc|")
	case "tcp":
		say("1|1|tcp|127.0.0.1:1|grpc|")
	case "elsewhere":
		say("1|1|unix|/tmp/other.sock|grpc|")
	case "nothing-there":
		say("1|1|unix|" + socket + "|grpc|")
	case "deaf":
		l, err := net.Listen("unix", socket)
		if err != nil {
			panic(err)
		}
		defer l.Close()
		say("1|1|unix|" + socket + "|grpc|")
	}
	if mode == "floods" {
		for range 2000 {
			fmt.Fprintln(os.Stderr, "starting, starting, starting, starting, starting, starting, starting, starting")
		}
	}
	raw := os.NewFile(1, "stdout") // go-plugin puts a pipe in the place of os.Stdout
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         goplugin.PluginSet{handshake.Name: &served{fake: &fake{mode: mode, stdout: raw}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(handshake.MaxMessage), grpc.MaxSendMsgSize(handshake.MaxMessage))...)
		},
	})
}

type served struct {
	goplugin.NetRPCUnsupportedPlugin
	fake *fake
}

func (s *served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	pluginv1.RegisterPluginServer(server, s.fake)
	return nil
}

func (*served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a client")
}

// fake does what the address of each request names.
type fake struct {
	pluginv1.UnimplementedPluginServer
	mode   string
	stdout *os.File

	mu         sync.Mutex
	configured *pluginv1.ConfigureRequest
	cancelled  int // Plan streams that ended early
}

func (f *fake) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Name: "fake", Version: strconv.Itoa(os.Getpid()), ManyStacks: f.mode == "many-stacks"}, nil
}

func (f *fake) Configure(ctx context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	switch f.mode {
	case "refuses":
		return &pluginv1.ConfigureResponse{Diagnostics: []*pluginv1.Diagnostic{
			{Severity: pluginv1.Diagnostic_SEVERITY_WARNING, Summary: "only a warning"},
			{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "The cache is read-only", Detail: "cannot write", Hint: "Mount it writable."},
		}}, nil
	case "dies-in-configure":
		fmt.Fprintln(os.NewFile(2, "stderr"), "out of luck")
		os.Exit(4)
	case "hangs-in-configure":
		<-ctx.Done()
		time.Sleep(time.Hour)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.configured = r
	return &pluginv1.ConfigureResponse{}, nil
}

func (f *fake) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	switch r.GetType() {
	case "hang":
		<-ctx.Done()
		time.Sleep(time.Hour) // it knows the caller's deadline, and does not care
	case "error":
		return nil, errors.New("the type is \x1b[31mnot\x1b[0m here")
	}
	return &pluginv1.ValidateResponse{}, nil
}

func (f *fake) Plan(stream grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]) error {
	var mu sync.Mutex
	send := func(r *pluginv1.PlanResponse) {
		mu.Lock()
		defer mu.Unlock()
		_ = stream.Send(r)
	}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cancelled++
	}()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		what, arg, _ := strings.Cut(r.GetAddress(), ":")
		switch what {
		case "end-stream":
			return nil
		case "fail-stream":
			return errors.New("the disk is on fire")
		}
		go f.plan(r.GetId(), what, arg, send)
	}
}

// plan answers one request.
func (f *fake) plan(id uint64, what, arg string, send func(*pluginv1.PlanResponse)) {
	answer := func(id uint64, private string) {
		send(&pluginv1.PlanResponse{Id: id, Body: &pluginv1.PlanResponse_Result{Result: &pluginv1.PlanResult{Private: []byte(private)}}})
	}
	log := func(id uint64, line string) {
		send(&pluginv1.PlanResponse{Id: id, Body: &pluginv1.PlanResponse_Log{Log: &pluginv1.Log{Stream: "fake", Line: line}}})
	}
	switch n, _ := strconv.Atoi(arg); what {
	case "say":
		answer(id, arg)
	case "log":
		for i := range n {
			log(id, "line "+strconv.Itoa(i))
		}
		answer(id, "")
		log(id, "too late")
	case "hang":
		log(id, "hanging")
	case "slow":
		time.Sleep(time.Duration(n) * time.Millisecond)
		answer(id, arg)
	case "twice":
		answer(id, "")
		answer(id, "")
	case "unknown":
		answer(id+1000, "")
	case "big":
		answer(id, strings.Repeat("x", n))
	case "streams":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(id, strconv.Itoa(f.cancelled))
	default:
		answer(id, f.tell(what, arg))
	}
}

// tell does something to the process, or tells about it.
func (f *fake) tell(what, arg string) string {
	stderr := os.NewFile(2, "stderr")
	switch n, _ := strconv.Atoi(arg); what {
	case "exit":
		fmt.Fprintln(stderr, "first\nsecond \x1b[31mred\x1b[0m")
		os.Exit(n)
	case "panic":
		panic("kaboom:\nall of it")
	case "print":
		fmt.Println("hello from go-plugin's pipe")
		fmt.Fprintln(f.stdout, "hello from the real one")
		fmt.Fprintln(f.stdout, strings.Repeat("y", 1<<20))
	case "flood":
		line := strings.Repeat(strings.Repeat("z", 999)+"\n", 1000)
		for range n { // 1 MB each
			fmt.Fprint(stderr, line)
		}
		fmt.Fprint(stderr, strings.Repeat("w", 50<<20))
	case "identified":
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Sprintf("%s %s", f.configured.GetStackName(), f.configured.GetLineage())
	case "configured":
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Sprintf("%s %s %s", f.configured.GetHostVersion(), f.configured.GetCacheDir(), f.configured.GetStackDir())
	case "env":
		return strings.Join(os.Environ(), "\n")
	case "stdin":
		b, err := io.ReadAll(os.Stdin)
		return fmt.Sprintf("%d bytes, %v", len(b), err)
	case "group":
		return fmt.Sprint(syscall.Getpgrp() == os.Getpid())
	case "child", "daemon":
		return strconv.Itoa(child(what == "daemon"))
	}
	return ""
}

// child starts a process that outlives the plugin if nobody ends it; a daemon leaves the plugin's group.
func child(daemon bool) int {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, "as-sleeper")
	cmd.Stdout, cmd.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr")
	if daemon {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd.Process.Pid
}

func (f *fake) Resolve(_ context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	return &pluginv1.ResolveResponse{Digest: "sha256:" + r.GetTag()}, nil
}

func (f *fake) Cancel(context.Context, *pluginv1.CancelRequest) (*pluginv1.CancelResponse, error) {
	return &pluginv1.CancelResponse{}, nil
}

func (f *fake) Apply(r *pluginv1.ApplyRequest, stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]) error {
	log := &pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Log{Log: &pluginv1.Log{Stream: "fake", Line: "working"}}}
	checkpoint := &pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Checkpoint{Checkpoint: &pluginv1.Checkpoint{Private: []byte("half")}}}
	result := &pluginv1.ApplyResponse{Body: &pluginv1.ApplyResponse_Result{Result: &pluginv1.ApplyResult{Private: []byte("whole")}}}
	if err := errors.Join(stream.Send(log), stream.Send(checkpoint)); err != nil {
		return err
	}
	switch what, arg, _ := strings.Cut(r.GetAddress(), ":"); what {
	case "crash":
		time.Sleep(50 * time.Millisecond) // what was sent is on its way
		panic("kaboom in apply")
	case "hang":
		<-stream.Context().Done()
		return stream.Context().Err()
	case "no-result":
		return nil
	case "fail":
		return errors.New(arg)
	case "twice":
		_ = stream.Send(result)
	}
	return stream.Send(result)
}
