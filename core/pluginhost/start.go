package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
)

// start starts a plugin and configures it, unless it is bare. What it has started is gone when it returns an error.
func (h *Host) start(name string, exe Executable, bare bool) (*Client, error) {
	named := func(e *Error) error {
		e.Plugin = name
		return e
	}
	prog, problem := openProgram(exe.Path, exe.SHA256)
	if problem != nil {
		if exe.Mend != "" && errors.Is(problem, errNotLocked) {
			problem.Hint = exe.Mend
		}
		return nil, named(problem)
	}
	defer prog.close()
	if err := h.prepare(); err != nil {
		return nil, named(&Error{Problem: "was not started: " + err.Error(), Err: err})
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.options.StartTimeout)
	defer cancel()
	c := &Client{running: &running{host: h, name: name, output: &tail{}}}
	if h.options.Log != nil {
		c.output.log = func(line string) { h.options.Log(name, line) }
	}
	c.printed = c.output.add
	if h.options.Stdout != nil {
		c.printed = func(line []byte) {
			h.options.Stdout(name, printable(string(line)))
			c.output.add(line)
		}
	}
	c.plugin = h.newPlugin(c, prog, exe)
	// go-plugin bounds only a part of the start, and takes no context: killing the process ends its wait.
	stop := context.AfterFunc(ctx, func() { c.kill() })
	err := c.connect(ctx, prog, bare)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.kill()
		c.plugin.Kill()
		return nil, named(c.startProblem(ctx, exe, err))
	}
	go c.supervise()
	return c, nil
}

// newPlugin sets go-plugin up. Its defaults are not davit's: see the package's promises.
func (h *Host) newPlugin(c *Client, prog *program, exe Executable) *goplugin.Client {
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake.Config,
		Plugins:          goplugin.PluginSet{handshake.Name: connection{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     2 * h.options.StartTimeout, // the context comes first, and knows the reason
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: h.setUp.dir.path},
		SyncStdout:       &lines{add: c.printed},
		SyncStderr:       &lines{add: c.output.add},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(h.limit), grpc.MaxCallSendMsgSize(h.limit)),
			grpc.WithIdleTimeout(0),
		},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, dir string) (runner.Runner, error) {
			cmd := exec.Command(prog.exec)
			cmd.Args = append([]string{prog.path}, exe.Args...)
			// What go-plugin tells comes last, so that it counts.
			cmd.Env = slices.Concat(environ(os.Environ(), exe.Env), exe.Set, spec.Env)
			if err := prog.unchanged(); err != nil {
				return nil, err
			}
			return c.adopt(newProcess(cmd, h, c, dir))
		},
	})
}

// connection is how go-plugin hands the connection over.
type connection struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer implements go-plugin's GRPCPlugin. The host serves nothing.
func (connection) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host is not a plugin")
}

// GRPCClient implements go-plugin's GRPCPlugin.
func (connection) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// connect starts the process, shakes hands and configures the plugin, unless it is bare.
func (c *Client) connect(ctx context.Context, prog *program, bare bool) error {
	client, err := c.plugin.Client()
	if err != nil {
		return err
	}
	if err := prog.unchanged(); err != nil {
		return err
	}
	raw, err := client.Dispense(handshake.Name)
	if err != nil {
		return err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return fmt.Errorf("go-plugin gave a %T, not a connection", raw)
	}
	c.rpc = pluginv1.NewPluginClient(conn)
	if bare {
		return nil
	}
	return c.configure(ctx)
}

// refused returns the error of a plugin that refused Configure.
type refused struct{ text, hint string }

func (r *refused) Error() string { return r.text }

func configured(list []*pluginv1.Diagnostic) error {
	var texts []string
	var hint string
	for _, d := range list {
		if d.GetSeverity() != pluginv1.Diagnostic_SEVERITY_ERROR {
			continue
		}
		text := printable(d.GetSummary())
		if d.GetDetail() != "" {
			text += ": " + printable(d.GetDetail())
		}
		texts = append(texts, text)
		if hint == "" {
			hint = printable(d.GetHint())
		}
	}
	if texts == nil {
		return nil
	}
	return &refused{text: strings.Join(texts, "; "), hint: hint}
}

// startProblem returns the reason why a plugin did not start, from its output and the end of its process.
func (c *Client) startProblem(ctx context.Context, exe Executable, err error) *Error {
	e := &Error{Doing: "starting", Err: err}
	var no *refused
	switch {
	case c.host.ctx.Err() != nil:
		return &Error{Problem: "was not started because davit is stopping", Err: context.Canceled}
	case c.process == nil || c.process.ID() == "":
		return notStarted(exe.Path, err)
	case errors.Is(err, errChanged):
		e.Doing, e.Problem, e.Hint = "", "was stopped at once: "+err.Error(), "Find out what writes to "+exe.Path+", then run davit again."
		return e
	case errors.As(err, &no):
		e.Doing, e.Problem, e.Hint = "", "refused to work: "+no.text, no.hint
		return e
	}
	c.process.wait(context.Background(), graceTime) // it was killed, if it had not ended
	e.Output = c.output.last()
	if ctx.Err() != nil {
		e.Problem = fmt.Sprintf("did not answer within %s", c.host.options.StartTimeout)
		e.Hint = "It was stopped. Start it by hand to see what it waits for; a loaded machine may need more time."
		return e
	}
	if p, hint := announcementProblem(c.process.announcement()); p != "" {
		e.Problem, e.Hint, e.Doing = p, hint, ""
		return e
	}
	if socket, ok := errors.AsType[*socketError](err); ok {
		e.Problem, e.Hint, e.Doing = socket.problem, "A plugin must make its socket in the folder that PLUGIN_UNIX_SOCKET_DIR names.", ""
		return e
	}
	switch how, ended := c.process.ended(); {
	case ended && c.process.alone():
		e.Problem = "ended (" + how + ")"
	case c.process.announcement() == "":
		e.Problem, e.Hint = "closed its standard output", "It may not be a davit plugin; a plugin must print its handshake there."
	default:
		e.Problem, e.Detail = "failed", printable(errorText(err))
	}
	return e
}

// notStarted explains why the system did not start an existing executable file.
func notStarted(path string, err error) *Error {
	e := &Error{Problem: "was not started: " + printable(err.Error()), Err: err}
	switch {
	case errors.Is(err, errChanged):
		e.Hint = "Find out what writes to " + path + ", then run davit again."
	case errors.Is(err, syscall.ENOEXEC):
		e.Problem = "was not started: " + path + " is not a program for this machine"
		e.Hint = "It may be built for another system or processor, or be a script without a first line such as #!/bin/sh."
	case errors.Is(err, fs.ErrNotExist):
		e.Problem = "was not started: " + path + " needs an interpreter or a library loader that is not installed"
		e.Hint = "See the script's first line, or build the plugin as a static binary."
	case errors.Is(err, fs.ErrPermission):
		e.Problem = "was not started: the system does not allow " + path + " to be run"
		e.Hint = "See the permissions of the file and its folders, and whether the file system is mounted with noexec."
	}
	return e
}

// announcementProblem judges the line by which a plugin says how to reach it: core version, protocol version,
// network, address and "grpc", separated by bars. A good one gives an empty problem.
func announcementProblem(line string) (problem, hint string) {
	const author = "It may not be a davit plugin; a plugin must print nothing before its handshake."
	if line == "" {
		return "", "" // it said nothing: the way it ended tells more
	}
	parts := strings.Split(line, "|")
	core, err := strconv.Atoi(parts[0])
	if err != nil || len(parts) < 4 {
		return fmt.Sprintf("does not speak the plugin protocol: its first line was %q", short(printable(line))), author
	}
	if core != goplugin.CoreProtocolVersion {
		return fmt.Sprintf("uses version %d of go-plugin's handshake, but this davit uses version %d", core, goplugin.CoreProtocolVersion), "Get a version of the plugin for this davit."
	}
	if parts[1] != strconv.Itoa(int(handshake.Config.ProtocolVersion)) {
		return fmt.Sprintf("speaks version %s of the plugin protocol, but this davit speaks version %d", short(printable(parts[1])), handshake.Config.ProtocolVersion),
			"Get a version of the plugin for this davit, or a davit for this plugin."
	}
	if len(parts) < 5 || parts[4] != string(goplugin.ProtocolGRPC) {
		return "does not speak gRPC", "It may be a plugin of another program."
	}
	return "", ""
}

// short returns the beginning of an unexpected output.
func short(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "..."
	}
	return s
}
