package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
)

// ReattachVariable is the environment variable that says where plugins serve that were started by other means, such as a
// debugger. It is never passed on to a plugin.
const ReattachVariable = "DAVIT_REATTACH"

// Reattach is where a plugin serves that was started by other means.
type Reattach struct {
	Protocol        string // "grpc"
	ProtocolVersion int    // of the plugin protocol
	Pid             int    // for people
	Test            bool   // always true: davit does not end the plugin
	Addr            struct{ Network, String string }
}

// ParseReattach reads the value of the variable: a JSON object from the plugin's name to where it serves. Empty is none.
func ParseReattach(text string) (map[string]Reattach, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all map[string]Reattach
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("the environment variable %s is not what a plugin prints with -debug: %w", ReattachVariable, err)
	}
	return all, nil
}

// Reattach returns where the plugin serves, for another davit to connect to.
func (c *Client) Reattach() Reattach {
	r := Reattach{Protocol: string(goplugin.ProtocolGRPC), ProtocolVersion: int(handshake.Config.ProtocolVersion), Pid: c.process.pid, Test: true}
	r.Addr.Network, r.Addr.String = "unix", c.process.address
	return r
}

// attach connects to a plugin that runs already. It is not verified, and not ended.
func (h *Host) attach(name string, r Reattach) (*Client, error) {
	bad := func(hint, format string, args ...any) (*Client, error) {
		return nil, &Error{Plugin: name, Problem: fmt.Sprintf(format, args...), Hint: hint}
	}
	const again = "Start the plugin with -debug again, and set " + ReattachVariable + " to what it prints now."
	switch {
	case r.Protocol != string(goplugin.ProtocolGRPC):
		return bad(again, "does not speak gRPC, according to %s", ReattachVariable)
	case r.ProtocolVersion != int(handshake.Config.ProtocolVersion):
		return bad("Get a version of the plugin for this davit, or a davit for this plugin.", "speaks version %d of the plugin protocol, but this davit speaks version %d", r.ProtocolVersion, handshake.Config.ProtocolVersion)
	case r.Addr.Network != "unix":
		return bad(again, "serves on %s %q, not on a Unix socket", printable(r.Addr.Network), printable(r.Addr.String))
	}
	if problem := ownSocket(r.Addr.String); problem != "" {
		return bad(again, "cannot be reached: %s", problem)
	}
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.Addr.String)
	}
	conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(h.limit), grpc.MaxCallSendMsgSize(h.limit)))
	if err != nil {
		return nil, &Error{Plugin: name, Problem: "cannot be reached: " + err.Error(), Err: err}
	}
	c := &Client{running: &running{host: h, name: name, output: &tail{}, attached: conn, rpc: pluginv1.NewPluginClient(conn)}}
	c.process = &process{cmd: &exec.Cmd{}, pid: r.Pid, reaped: true, address: r.Addr.String, said: make(chan struct{}), done: make(chan struct{})}
	// Somebody may hold it at a breakpoint: only davit's end bounds this.
	if err := c.configure(h.ctx); err != nil {
		_ = conn.Close()
		var no *refused
		switch {
		case errors.As(err, &no):
			return bad(no.hint, "refused to work: %s", no.text)
		case status.Code(err) == codes.Unavailable:
			return bad(again, "no longer runs: nothing serves on %s", printable(r.Addr.String))
		}
		return nil, &Error{Plugin: name, Doing: "connecting", Problem: "failed", Detail: printable(errorText(err)), Err: err}
	}
	return c, nil
}

// ownSocket says what is wrong with a socket that davit is to trust: it must be this user's.
func ownSocket(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "the socket does not exist: " + printable(path)
	}
	if info.Mode().Type() != os.ModeSocket {
		return printable(path) + " is not a socket"
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Getuid() {
		return "the socket " + printable(path) + " is another user's"
	}
	return ""
}
