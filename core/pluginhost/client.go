package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
)

// Client is a running plugin.
type Client struct {
	name     string
	goClient *goplugin.Client
	process  *process
	tail     *tail
	rpc      pluginv1.PluginClient
	plans    *planStream
}

// start starts a plugin and configures it.
func start(ctx context.Context, name string, e Executable, dir string, h *Host) (*Client, error) {
	c := &Client{name: name, tail: &tail{}}
	if h.options.Log != nil {
		c.tail.log = func(line string) { h.options.Log(name, line) }
	}
	c.goClient = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake.Config,
		Plugins:          goplugin.PluginSet{handshake.Name: &grpcPlugin{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     h.options.StartTimeout,
		Stderr:           c.tail,
		Logger:           hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: dir},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(handshake.MaxMessage), grpc.MaxCallSendMsgSize(handshake.MaxMessage))},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
			var err error
			c.process, err = newProcess(name, e, spec, h.starter)
			return c.process, err
		},
	})
	if err := c.connect(ctx, h.options); err != nil {
		c.stop()
		return nil, c.startError(err, e, h.options.StartTimeout)
	}
	return c, nil
}

func (c *Client) connect(ctx context.Context, o Options) error {
	protocol, err := c.goClient.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(handshake.Name)
	if err != nil {
		return err
	}
	c.rpc = raw.(pluginv1.PluginClient)
	ctx, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()
	res, err := c.rpc.Configure(ctx, &pluginv1.ConfigureRequest{HostVersion: o.Version, CacheDir: o.CacheDir, StackDir: o.StackDir})
	if err != nil {
		return err
	}
	for _, d := range res.GetDiagnostics() {
		if d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_ERROR {
			return fmt.Errorf("%s %s", d.GetSummary(), d.GetDetail())
		}
	}
	c.plans = newPlanStream(c.rpc)
	return nil
}

// grpcPlugin is the plugin's side as go-plugin wants it.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer implements go-plugin's GRPCPlugin. The host serves nothing.
func (grpcPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return nil }

// GRPCClient implements go-plugin's GRPCPlugin.
func (grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginv1.NewPluginClient(conn), nil
}

// startError says why a plugin did not start.
func (c *Client) startError(err error, e Executable, timeout time.Duration) error {
	out := &Error{Plugin: c.name, Doing: "starting " + e.Path, Output: c.tail.String(), Err: err}
	text := err.Error()
	switch {
	case errors.Is(err, errChecksum):
		out.Hint = "If you changed the plugin yourself, run davit init -upgrade; otherwise somebody else did."
	case errors.Is(err, fs.ErrNotExist):
		out.Problem, out.Err = "the file is not there", nil
	case errors.Is(err, fs.ErrPermission):
		out.Problem, out.Err = "the file is not executable for this user", nil
	case strings.Contains(text, "timeout while waiting"):
		out.Problem, out.Err = fmt.Sprintf("it said nothing for %s", timeout), nil
		out.Hint = "A plugin serves as soon as it is started. Is this a davit plugin?"
	case strings.Contains(text, "exited before"), strings.Contains(text, "Failed to read any lines"):
		out.Problem, out.Err = "it ended before it said how to reach it", nil
		out.Hint = "Is this a davit plugin?"
	case strings.Contains(text, "Unrecognized remote plugin message"):
		first, _, _ := strings.Cut(text, "\n")
		_, got, _ := strings.Cut(first, ": ")
		out.Problem, out.Err = fmt.Sprintf("it wrote %.60q where the handshake should be", got), nil
		out.Hint = "A plugin must not print to standard output before it serves."
	case strings.Contains(text, "ncompatible"):
		out.Problem = "it speaks another version of the protocol"
		out.Hint = "Use a release of the plugin that was made for this davit."
	}
	return out
}

// stop ends the plugin.
func (c *Client) stop() {
	if c.plans != nil {
		c.plans.close()
	}
	c.goClient.Kill()
	if c.process != nil {
		c.process.killGroup()
	}
}

// failed makes an error for people of a failed call.
func (c *Client) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		if c.process.end() == "" {
			return fmt.Errorf("%s: %w", doing, context.Canceled)
		}
	}
	out := &Error{Plugin: c.name, Doing: doing, Err: err}
	switch status.Code(err) {
	case codes.Unavailable:
		// The connection breaks a moment before the process is seen to have ended.
		select {
		case <-c.process.ended:
		case <-time.After(time.Second):
		}
		if end := c.process.end(); end != "" {
			out.Problem, out.Err, out.Output = "it ended ("+end+")", nil, c.tail.String()
			out.Hint = "Nothing is lost: run the command again. If the plugin ends again, report it to its authors."
		}
	case codes.ResourceExhausted:
		out.Problem, out.Err = fmt.Sprintf("a message is larger than %d MB", handshake.MaxMessage>>20), nil
	case codes.Unimplemented:
		out.Problem, out.Err = "it cannot do this", nil
	default:
		if s, ok := status.FromError(err); ok {
			out.Err = errors.New(s.Message())
		}
	}
	return out
}

// Describe asks the plugin for its types.
func (c *Client) Describe(ctx context.Context) (*pluginv1.DescribeResponse, error) {
	r, err := c.rpc.Describe(ctx, &pluginv1.DescribeRequest{})
	return r, c.failed("describing itself", err)
}

// Validate checks one configuration.
func (c *Client) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	out, err := c.rpc.Validate(ctx, r)
	return out, c.failed("validating", err)
}

// Plan observes or plans one instance. Thousands of callers share one stream.
func (c *Client) Plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	res, err := c.plans.call(ctx, r, onLog)
	return res, c.failed("planning "+r.GetAddress(), err)
}

// Resolve looks at one tag of an image.
func (c *Client) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	out, err := c.rpc.Resolve(ctx, r)
	return out, c.failed("resolving "+r.GetTag(), err)
}

// Apply carries out one change. on is told of everything but the result; its error ends the call.
func (c *Client) Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	doing := "applying " + r.GetAddress()
	stream, err := c.rpc.Apply(ctx, r)
	if err != nil {
		return nil, c.failed(doing, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, &Error{Plugin: c.name, Doing: doing, Problem: "it ended the call without a result: this is a defect of the plugin"}
		}
		if err != nil {
			return nil, c.failed(doing, err)
		}
		if res := m.GetResult(); res != nil {
			return res, nil
		}
		if err := on(m); err != nil {
			return nil, err
		}
	}
}

// Cancel asks the plugin's running operations to end soon.
func (c *Client) Cancel(ctx context.Context) error {
	_, err := c.rpc.Cancel(ctx, &pluginv1.CancelRequest{})
	return c.failed("cancelling", err)
}
