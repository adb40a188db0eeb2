// Package protocol gives a plugin of package sdk in the types of the plugin protocol. Hosts that have a plugin inside and
// tests of hosts need it; authors of plugins do not.
package protocol

import (
	"context"

	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
)

// Server returns the plugin as a gRPC service.
func Server(p *sdk.Plugin) pluginv1.PluginServer {
	var r registrar
	p.Register(&r)
	return r.server
}

// Describe returns the plugin's description without starting it. The caller may change it.
func Describe(p *sdk.Plugin) *pluginv1.DescribeResponse {
	d, err := Server(p).Describe(context.Background(), &pluginv1.DescribeRequest{})
	if err != nil {
		panic("the sdk cannot describe a plugin: " + err.Error()) // it only copies what sdk.New has checked
	}
	return d
}

// registrar keeps the service instead of serving it.
type registrar struct{ server pluginv1.PluginServer }

// RegisterService implements grpc.ServiceRegistrar.
func (r *registrar) RegisterService(_ *grpc.ServiceDesc, service any) {
	r.server, _ = service.(pluginv1.PluginServer)
}
