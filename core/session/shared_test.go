package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/session"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/protocol"
)

// who is a source whose revision is the process of the plugin and the stack that asks.
type who struct{}

type noArguments struct{}

func (who) Observe(ctx context.Context, _ sdk.ObserveRequest[noArguments, sdk.SourceOutputs]) (sdk.SourceOutputs, error) {
	return sdk.SourceOutputs{Revision: fmt.Sprintf("%d %s", os.Getpid(), sdk.HostOf(ctx).StackDir)}, nil
}

// whoPlugin is the plugin of that name.
func whoPlugin(name string) *sdk.Plugin { return sdk.New(name, "1.0.0", sdk.Source(name, who{})) }

// The test is its own plugins, as davit is.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "plugin" {
		os.Exit(m.Run())
	}
	switch os.Args[2] {
	case "serve":
		sdk.Serve(whoPlugin(os.Args[3]))
	case "guard":
		pluginhost.Guard(os.Stdin)
	}
}

// asked plans a stack and returns the processes of its plugins by the sources' types, and the folder that they know.
func asked(t *testing.T, s *session.Session) (processes map[string]string, dir string) {
	t.Helper()
	p, err := s.Plan(t.Context(), engine.Options{}, gate.Request{})
	if err != nil {
		t.Fatal(err)
	}
	processes = map[string]string{}
	for _, o := range p.Observations {
		outputs, err := o.Outputs.Cty()
		if err != nil {
			t.Fatal(err)
		}
		processes[o.Type], dir, _ = strings.Cut(outputs.GetAttr("revision").AsString(), " ")
	}
	return processes, dir
}

// Two stacks of one process share a process of each plugin, in which they are told apart. The process goes on when one of them is closed,
// and ends with the last one.
func TestStacksShareTheProcessesOfPlugins(t *testing.T) {
	p := process(t)
	p.Self = os.Args[0]
	p.Builtins = map[string]session.Builtin{}
	for _, name := range []string{"first", "second"} {
		p.Builtins[name] = session.Builtin{Describe: func() *pluginv1.DescribeResponse { return protocol.Describe(whoPlugin(name)) }}
	}
	host := p.NewHost()
	t.Cleanup(func() { _ = host.Close() })
	var open []*session.Session
	var shared map[string]string
	for range 2 {
		dir := stack(t, map[string]string{"davit.hcl": "source \"first\" \"a\" {}\nsource \"first\" \"b\" {}\nsource \"second\" \"a\" {}\n"})
		s, err := p.Open(t.Context(), &session.Options{Dir: dir, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		open = append(open, s)
		processes, knows := asked(t, s)
		if knows != dir {
			t.Errorf("the plugin works for %q, want %q", knows, dir)
		}
		if shared == nil {
			shared = processes
		}
		if len(processes) != 2 || processes["first"] == processes["second"] || fmt.Sprint(processes) != fmt.Sprint(shared) {
			t.Errorf("the processes are %v, those of the first stack %v", processes, shared)
		}
	}
	open[0].Close()
	if processes, _ := asked(t, open[1]); fmt.Sprint(processes) != fmt.Sprint(shared) || open[1].PluginEnded() {
		t.Errorf("the processes are %v after another stack was closed, want %v", processes, shared)
	}
	open[1].Close()
	for name, id := range shared {
		pid, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("plugin %s runs after its last stack was closed", name)
			}
		}
	}
}

// A plugin that has ended is noticed by the stacks that use it, and started again for a stack that is opened afterwards.
func TestAnEndedSharedPluginIsStartedAgain(t *testing.T) {
	p := process(t)
	p.Self = os.Args[0]
	p.Builtins = map[string]session.Builtin{"first": {Describe: func() *pluginv1.DescribeResponse { return protocol.Describe(whoPlugin("first")) }}}
	host := p.NewHost()
	t.Cleanup(func() { _ = host.Close() })
	dir := stack(t, map[string]string{"davit.hcl": "source \"first\" \"a\" {}\n"})
	openStack := func() *session.Session {
		s, err := p.Open(t.Context(), &session.Options{Dir: dir, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	s := openStack()
	before, _ := asked(t, s)
	pid, err := strconv.Atoi(before["first"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !s.PluginEnded(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session does not notice that its plugin has ended")
		}
	}
	s.Close()
	if after, _ := asked(t, openStack()); after["first"] == before["first"] || after["first"] == "" {
		t.Errorf("the processes are %v, before %v", after, before)
	}
}
