package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
	"github.com/davit-sh/davit/sdk/trim"
)

// Serve serves the plugin until davit ends it. A plugin's main function only calls Serve. A plugin that is started with -debug,
// perhaps by a debugger, prints how davit connects to it and serves until it is interrupted. Otherwise the logger of the package log is silent: use Log, or write
// to the standard error.
func Serve(p *Plugin) {
	if len(os.Args) == 2 && (os.Args[1] == "-debug" || os.Args[1] == "--debug") {
		if err := serveDebug(p); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(handshake.Config.MagicCookieKey) != handshake.Config.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "This is the davit plugin %s %s. davit starts it by itself; name it in required_plugins.\n", p.name, p.version)
		os.Exit(1)
	}
	// Libraries write values to the standard logger, and davit shows what a plugin writes to its standard error.
	log.SetOutput(io.Discard)
	trim.Soon()
	goplugin.Serve(p.serveConfig())
}

func (p *Plugin) serveConfig() *goplugin.ServeConfig {
	return &goplugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         goplugin.PluginSet{handshake.Name: &grpcPlugin{plugin: p, stderr: os.Stderr}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(handshake.MaxMessage), grpc.MaxSendMsgSize(handshake.MaxMessage))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
	}
}

// grpcPlugin is the plugin as go-plugin wants it.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin *Plugin
	stderr *os.File
}

// GRPCServer implements go-plugin's GRPCPlugin.
func (g *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServer(s, g.plugin.server(g.stderr))
	return nil
}

// GRPCClient implements go-plugin's GRPCPlugin. A plugin is never its own client.
func (g *grpcPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin does not connect to itself")
}
