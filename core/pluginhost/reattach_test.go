package pluginhost

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// attached is a host that connects to a running plugin.
func attached(t *testing.T, r Reattach) *Host {
	t.Helper()
	h := New(Options{Version: "9.9", Reattach: map[string]Reattach{"good": r}})
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestAPluginThatRunsAlreadyIsNotEnded(t *testing.T) {
	first := goodClient(t, nil)
	for range 2 {
		h := attached(t, first.Reattach())
		c, err := h.Client(context.Background(), "good")
		if err != nil {
			t.Fatal(err)
		}
		if got := planned(t, c, "say:hi"); got != "hi" {
			t.Error(got)
		}
		if got := planned(t, c, "configured:"); !strings.HasPrefix(got, "9.9 ") {
			t.Errorf("it was told %q", got)
		}
		waiting := hang(t, context.Background(), c, "hang:")
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		problem(t, <-waiting, "was stopped because davit is stopping")
		_, err = c.Describe(context.Background())
		problem(t, err, "was stopped because davit is stopping")
	}
	if got := planned(t, first, "say:alive"); got != "alive" {
		t.Error(got)
	}
}

func TestAPluginThatEndsWhileConnected(t *testing.T) {
	first := goodClient(t, nil)
	c, err := attached(t, first.Reattach()).Client(context.Background(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pluginPID(t, first), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.process.done
	_, err = c.Describe(context.Background())
	problem(t, err, `plugin "good" closed its connection while describing itself`)
}

func TestWhereAPluginDoesNotServe(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	for name, test := range map[string]struct {
		change func(*Reattach)
		says   string
	}{
		"nothing":          {func(r *Reattach) { r.Addr.String = filepath.Join(dir, "none") }, "the socket does not exist"},
		"a file":           {func(r *Reattach) { r.Addr.String = plain }, "is not a socket"},
		"a dead socket":    {func(r *Reattach) { r.Addr.String = dead }, "no longer runs"},
		"TCP":              {func(r *Reattach) { r.Addr.Network, r.Addr.String = "tcp", "127.0.0.1:1" }, "not on a Unix socket"},
		"another version":  {func(r *Reattach) { r.ProtocolVersion = 9 }, "speaks version 9 of the plugin protocol"},
		"another protocol": {func(r *Reattach) { r.Protocol = "netrpc" }, "does not speak gRPC"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Reattach{Protocol: "grpc", ProtocolVersion: 1}
			r.Addr.Network = "unix"
			test.change(&r)
			_, err := attached(t, r).Client(context.Background(), "good")
			if e := problem(t, err, test.says); e.Hint == "" {
				t.Error("it does not say what to do")
			}
		})
	}
	if _, err := ParseReattach("yes"); err == nil || !strings.Contains(err.Error(), "-debug") {
		t.Error(err)
	}
	if r, err := ParseReattach(""); r != nil || err != nil {
		t.Error(r, err)
	}
}

// Who knows where a plugin serves could speak to it: other plugins are not told, not even when the stack lists the variable.
func TestNoPluginLearnsWhereAnotherServes(t *testing.T) {
	t.Setenv(ReattachVariable, `{"other": {}}`)
	c := goodClient(t, func(o *Options) {
		e := o.Plugins["good"]
		e.Env = []string{ReattachVariable}
		o.Plugins["good"] = e
	})
	if env := planned(t, c, "env:"); strings.Contains(env, ReattachVariable) {
		t.Errorf("the plugin sees it:\n%s", env)
	}
}
