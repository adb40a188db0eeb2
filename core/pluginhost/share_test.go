package pluginhost

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/wire"
	"github.com/zclconf/go-cty/cty"
)

// whoAmI is a source whose revision is its process and the stack that asks.
type whoAmI struct{}

type nothing struct{}

func (whoAmI) Observe(ctx context.Context, _ sdk.ObserveRequest[nothing, sdk.SourceOutputs]) (sdk.SourceOutputs, error) {
	h := sdk.HostOf(ctx)
	return sdk.SourceOutputs{Revision: fmt.Sprintf("%d %s %s %s", os.Getpid(), h.StackName, h.StackDir, h.Lineage)}, nil
}

func shareable() *sdk.Plugin { return sdk.New("who", "1.0.0", sdk.Source("who", whoAmI{})) }

// asked returns the process that serves a stack, and what it knows of the stack.
func asked(t *testing.T, s *Stack, name string) (pid, knows string) {
	t.Helper()
	c, err := s.Client(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := wire.Encode(cty.EmptyObjectVal, cty.EmptyObject)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Plan(t.Context(), &pluginv1.PlanRequest{Address: "source.who.x", Kind: "source", Type: "who", Config: empty}, nil)
	if err != nil || len(res.GetDiagnostics()) > 0 {
		t.Fatalf("%v %v", err, res.GetDiagnostics())
	}
	d, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]cty.Type{}
	for _, a := range d.GetTypes()[0].GetOutputs().GetAttributes() {
		attributes[a.GetName()] = cty.String
		if a.GetName() == "tree" {
			attributes["tree"] = cty.Object(map[string]cty.Type{"digest": cty.String, "path": cty.String})
		}
	}
	v, err := wire.Decode(proto.CloneOf(res.GetOutputs()), cty.Object(attributes))
	if err != nil {
		t.Fatal(err)
	}
	pid, knows, _ = strings.Cut(v.GetAttr("revision").AsString(), " ")
	return pid, knows
}

func open(h *Host, n int, modes ...string) *Stack {
	o := StackOptions{Dir: "/stack/" + strconv.Itoa(n), Name: "stack" + strconv.Itoa(n), Plugins: map[string]Executable{}}
	for _, m := range modes {
		o.Plugins[m] = Executable{Path: os.Args[0], Args: []string{"as-plugin", m}}
	}
	return h.Open(o)
}

// Several stacks share one process, are told apart in it, and the process ends with the last of them.
func TestStacksShareAProcess(t *testing.T) {
	h := newHost(t, func(*Options) {})
	var pids [5]string
	var stacks [5]*Stack
	var all sync.WaitGroup
	for i := range stacks {
		stacks[i] = open(h, i, "shareable")
		all.Go(func() {
			var knows string
			if pids[i], knows = asked(t, stacks[i], "shareable"); knows != fmt.Sprintf("stack%d /stack/%d ", i, i) {
				t.Errorf("stack %d is served as %q", i, knows)
			}
		})
	}
	all.Wait()
	for _, pid := range pids {
		if pid != pids[0] {
			t.Errorf("the processes are %v", pids)
		}
	}
	if err := stacks[1].SetLineage(t.Context(), "1f2e"); err != nil {
		t.Fatal(err)
	}
	if _, knows := asked(t, stacks[1], "shareable"); knows != "stack1 /stack/1 1f2e" {
		t.Errorf("with a lineage it knows %q", knows)
	}
	if _, knows := asked(t, stacks[2], "shareable"); knows != "stack2 /stack/2 " {
		t.Errorf("another stack knows %q", knows)
	}
	client, err := stacks[0].Client(t.Context(), "shareable")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stacks[1:] {
		_ = s.Close()
	}
	if how, ended := client.Ended(); ended {
		t.Fatalf("it ended (%s), and one stack still uses it", how)
	}
	_ = stacks[0].Close()
	if _, ended := client.Ended(); !ended {
		t.Error("it runs, and no stack uses it")
	}
	if _, err := stacks[0].Client(t.Context(), "shareable"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v", err)
	}
	// A stack that is opened later gets a new process.
	if pid, _ := asked(t, open(h, 9, "shareable"), "shareable"); pid == pids[0] {
		t.Error("it has the process that has ended")
	}
}

// A plugin that does not say many_stacks has a process for each stack.
func TestAPluginOfOneStackIsNotShared(t *testing.T) {
	h := newHost(t, func(*Options) {})
	one, two := open(h, 1, "good"), open(h, 2, "good")
	a, err := one.Client(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Client(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if a.process.pid == b.process.pid {
		t.Error("two stacks share a process")
	}
	_ = one.Close()
	if _, ended := a.Ended(); !ended {
		t.Error("its process runs on")
	}
	if how, ended := b.Ended(); ended {
		t.Errorf("the other stack's process ended: %s", how)
	}
}
