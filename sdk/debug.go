package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	goplugin "github.com/hashicorp/go-plugin"
)

// serveDebug serves any davit with the printed variable, until it is interrupted.
func serveDebug(p *Plugin) error {
	// The socket is in a folder that only this user can enter.
	dir, err := os.MkdirTemp("", "davit-debug-")
	if err != nil {
		return fmt.Errorf("make a folder for the socket: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv(goplugin.EnvUnixSocketDir, dir); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	where, closed := make(chan *goplugin.ReattachConfig, 1), make(chan struct{})
	config := p.serveConfig()
	config.Test = &goplugin.ServeTestConfig{Context: ctx, ReattachConfigCh: where, CloseCh: closed}
	go goplugin.Serve(config)
	select {
	case w := <-where:
		text, err := reattachText(p.name, w)
		if err != nil {
			return err
		}
		fmt.Printf("Plugin %s %s runs as process %d until it is interrupted. In another shell, run davit with\n\n  export %s\n", p.name, p.version, w.Pid, text)
	case <-closed:
		return fmt.Errorf("the plugin %s could not serve on a socket in %s", p.name, dir)
	}
	<-closed
	return nil
}

// reattachText returns the variable by which davit finds the plugin.
func reattachText(name string, w *goplugin.ReattachConfig) (string, error) {
	b, err := json.Marshal(map[string]any{name: map[string]any{
		"Protocol": w.Protocol, "ProtocolVersion": w.ProtocolVersion, "Pid": w.Pid, "Test": w.Test,
		"Addr": map[string]string{"Network": w.Addr.Network(), "String": w.Addr.String()},
	}})
	if err != nil {
		return "", err
	}
	return "DAVIT_REATTACH='" + string(b) + "'", nil
}
