package plugintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
	"github.com/davit-sh/davit/sdk/protocol"
)

func sortDescending(list []string) {
	slices.Sort(list)
	slices.Reverse(list)
}

// spoiled is a good plugin whose answers are spoiled in one way.
type spoiled struct {
	pluginv1.PluginServer
	mode   string
	stdout *os.File
	stderr *os.File
	calls  atomic.Int64
	busy   atomic.Int64
	late   atomic.Bool
	gone   sync.Map // instances that were destroyed
}

// servePlugin serves the good plugin, spoiled as mode says.
func servePlugin(mode, kinds string) {
	s := &spoiled{PluginServer: protocol.Server(goodPlugin(kinds)), mode: mode, stdout: os.NewFile(1, "stdout"), stderr: os.NewFile(2, "stderr")}
	switch mode {
	case "exits":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "starts a daemon":
		cmd := exec.Command(os.Args[0], "as-sleeper")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake.Config,
		Plugins:         goplugin.PluginSet{handshake.Name: served{plugin: s}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			if mode == "takes 4 MB" {
				return grpc.NewServer(o...)
			}
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(handshake.MaxMessage))...)
		},
	})
	if mode == "stays" {
		time.Sleep(time.Hour)
	}
}

type served struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin pluginv1.PluginServer
}

func (s served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	pluginv1.RegisterPluginServer(server, s.plugin)
	return nil
}

func (served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no")
}

func (s *spoiled) Describe(ctx context.Context, r *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d, err := s.PluginServer.Describe(ctx, r)
	first := d.GetTypes()[0]
	switch s.mode {
	case "has an odd version":
		d.Version = "latest"
	case "has a bad name":
		d.Name = "My Plugin"
	case "has no types":
		d.Types = nil
	case "has a type twice":
		d.Types = append(d.Types, first)
	case "is of no kind":
		first.Kind = "gizmo"
	case "breaks its kind's promise":
		first.Outputs.Attributes = first.Outputs.Attributes[1:]
	case "has a bad type":
		first.Config.Attributes[0].Type = []byte(`"strnig"`)
	case "has a bad default":
		first.Config.Attributes[0].Default = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`[1]`)}}
	case "describes itself by mood":
		first.Description = fmt.Sprint(s.calls.Add(1))
	case "describes itself by process":
		first.Description = fmt.Sprint(os.Getpid())
	case "prints":
		fmt.Fprintln(s.stdout, "hello")
	case "prints in Go":
		fmt.Println("hello")
	}
	return d, err
}

func (s *spoiled) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	if s.mode == "validates alone" {
		defer s.busy.Add(-1)
		if s.busy.Add(1) > 1 {
			return nil, errors.New("I am busy")
		}
		time.Sleep(time.Millisecond)
	}
	v, err := s.PluginServer.Validate(ctx, r)
	switch {
	case s.mode == "knows everything" && r.GetType() != "thing":
		return &pluginv1.ValidateResponse{}, nil
	case s.mode == "accepts everything":
		return &pluginv1.ValidateResponse{}, err
	}
	s.diagnostics(v.GetDiagnostics())
	return v, err
}

func (s *spoiled) diagnostics(list []*pluginv1.Diagnostic) {
	for _, d := range list {
		switch s.mode {
		case "has no paths":
			d.Path = nil
		case "has wrong paths":
			d.Path = []*pluginv1.PathStep{{Step: &pluginv1.PathStep_Attribute{Attribute: "nowhere"}}}
		case "has no words":
			d.Summary = ""
		}
	}
}

func (s *spoiled) Cancel(ctx context.Context, r *pluginv1.CancelRequest) (*pluginv1.CancelResponse, error) {
	switch s.mode {
	case "is slow to cancel":
		time.Sleep(2 * time.Second)
	case "ignores Cancel":
		return &pluginv1.CancelResponse{}, nil
	}
	return s.PluginServer.Cancel(ctx, r)
}

// spoiledStream spoils what goes through a Plan stream.
type spoiledStream struct {
	grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]
	s     *spoiled
	asked sync.Map // id: *pluginv1.PlanRequest
}

func (s *spoiled) Plan(stream grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]) error {
	return s.PluginServer.Plan(&spoiledStream{BidiStreamingServer: stream, s: s})
}

func (p *spoiledStream) Recv() (*pluginv1.PlanRequest, error) {
	r, err := p.BidiStreamingServer.Recv()
	if err != nil {
		return r, err
	}
	p.asked.Store(r.GetId(), r)
	if p.s.mode == "dies of garbage" && strings.HasSuffix(r.GetAddress(), ".garbage") {
		os.Exit(4)
	}
	return r, nil
}

func (p *spoiledStream) Send(m *pluginv1.PlanResponse) error {
	raw, _ := p.asked.Load(m.GetId())
	r, _ := raw.(*pluginv1.PlanRequest)
	if res := m.GetResult(); res != nil {
		p.s.spoilPlan(r, res)
		p.s.diagnostics(res.GetDiagnostics())
		if p.s.mode == "leaks in a log" && r.GetType() == "thing" {
			_ = p.BidiStreamingServer.Send(&pluginv1.PlanResponse{Id: m.GetId(), Body: &pluginv1.PlanResponse_Log{Log: &pluginv1.Log{Line: "using " + planted}}})
		}
	}
	return p.BidiStreamingServer.Send(m)
}

// isUnknown tells whether a MessagePack value has cty's unknown in it: extension 0 or 12.
func isUnknown(v *pluginv1.Value) bool {
	s := string(v.GetMsgpack())
	return strings.Contains(s, "\xd4\x00\x00") || strings.Contains(s, "\x0c\x81") || strings.Contains(s, "\x0c\x82")
}

func (s *spoiled) spoilPlan(r *pluginv1.PlanRequest, res *pluginv1.PlanResult) {
	failed := []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "no"}}
	known := !isUnknown(r.GetConfig())
	switch s.mode {
	case "knows everything":
		if r.GetType() != "thing" {
			res.Diagnostics = nil
		}
	case "takes garbage":
		if strings.HasSuffix(r.GetAddress(), ".garbage") {
			res.Diagnostics = nil
		}
	case "plans nothing":
		res.Action = pluginv1.Action_ACTION_UNSPECIFIED
	case "changes what it observes":
		res.Action = pluginv1.Action_ACTION_CREATE
	case "sends other types":
		res.Outputs = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`[3]`)}}
	case "sends no outputs":
		res.Outputs = nil
	case "has items twice":
		res.Items = append(res.Items, res.Items...)
	case "has fields in no form":
		for _, i := range res.GetItems() {
			i.Fields[0].After = "not json"
		}
	case "makes no decision":
		res.Decision = nil
	case "is random":
		res.Items = []*pluginv1.Item{{Key: fmt.Sprint(s.calls.Add(1)), Action: pluginv1.Action_ACTION_NONE}}
	case "must know":
		if !known {
			res.Diagnostics = failed
		}
	case "hides what it plans":
		if !known && len(res.GetItems()) == 0 {
			res.Outputs = nil
		}
	case "is never content":
		if r.GetPrior() != nil && !r.GetDestroy() {
			res.Action = pluginv1.Action_ACTION_UPDATE
		}
	case "is late all the same":
		if s.late.CompareAndSwap(true, false) {
			res.Action = pluginv1.Action_ACTION_ADOPT
		}
	case "sees nothing new":
		if r.GetPrior() != nil && !r.GetDestroy() {
			res.Action = pluginv1.Action_ACTION_NONE
		}
	case "deletes once":
		if _, twice := s.gone.Load(r.GetAddress()); r.GetDestroy() && twice {
			res.Diagnostics = failed
		}
	case "keeps what is to go":
		if r.GetDestroy() {
			res.Action = pluginv1.Action_ACTION_NONE
		}
	case "mixes up":
		if strings.HasSuffix(r.GetAddress(), "test[777]") {
			res.Items = []*pluginv1.Item{{Key: "another's", Action: pluginv1.Action_ACTION_NONE}}
		}
	case "leaks in a reason":
		res.Reasons = []string{"the token is " + planted}
	case "leaks in an item":
		res.Items = []*pluginv1.Item{{Key: "x", Action: pluginv1.Action_ACTION_NONE, Fields: []*pluginv1.Field{{Path: "p", After: `"` + planted + `"`}}}}
	case "leaks in private bytes":
		res.Private = []byte("token=" + planted)
	case "leaks in an error":
		if strings.Contains(string(r.GetConfig().GetMsgpack()), planted) {
			res.Diagnostics = []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "cannot get https://x:" + planted + "@example.com"}}
		}
	case "leaks in base64":
		res.Reasons = []string{"Authorization: cGxhbnRlZC1TZWNyZXQvOGMxZisyZA"}
	case "leaks in standard error":
		fmt.Fprintln(s.stderr, "debug: token is "+planted)
	}
	if res.GetDecision() != nil {
		s.spoilDecision(r, res, failed)
	}
}

func (s *spoiled) spoilDecision(r *pluginv1.PlanRequest, res *pluginv1.PlanResult, failed []*pluginv1.Diagnostic) {
	switch s.mode {
	case "forgets a tag":
		res.GetDecision().Rejected = nil
	case "rejects without a reason":
		for _, x := range res.GetDecision().GetRejected() {
			x.Reason = ""
		}
	case "chooses without a reason":
		res.GetDecision().Reason = ""
	case "goes by the order":
		tags := r.GetCandidates().GetTags()
		*res.GetDecision() = pluginv1.Decision{Ranked: tags, Reason: "as they came"}
	case "wants tags":
		if len(r.GetCandidates().GetTags()) == 0 {
			res.Diagnostics = failed
		}
	case "invents a tag":
		if len(r.GetCandidates().GetTags()) == 0 {
			res.GetDecision().Ranked = []string{"latest"}
		}
	}
}

func (s *spoiled) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	res, err := s.PluginServer.Resolve(ctx, r)
	switch s.mode {
	case "has no digests":
		res.Digest = ""
	case "has every tag":
		return &pluginv1.ResolveResponse{Digest: "sha256:" + digest(r.GetTag())}, nil
	}
	return res, err
}

func (s *spoiled) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	no := &pluginv1.NotifyResponse{Diagnostics: []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "no"}}}
	_, twice := s.gone.LoadOrStore(r.GetEvent().GetId(), true)
	switch {
	case s.mode == "wants to know all events" && r.GetEvent().GetName() == "dreamt_of", s.mode == "hears things once" && twice:
		return no, nil
	case s.mode == "leaks in Notify":
		no.Diagnostics[0].Severity, no.Diagnostics[0].Summary = pluginv1.Diagnostic_SEVERITY_WARNING, "sent with "+planted
		return no, nil
	}
	return s.PluginServer.Notify(ctx, r)
}

func (s *spoiled) Watch(r *pluginv1.WatchRequest, stream grpc.ServerStreamingServer[pluginv1.WatchResponse]) error {
	switch s.mode {
	case "does not listen":
		return nil
	case "tells of another":
		if err := stream.Send(&pluginv1.WatchResponse{Address: "source.thing.other"}); err != nil {
			return err
		}
	}
	return s.PluginServer.Watch(r, stream)
}

func (s *spoiled) Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error) {
	if s.mode == "imports nothing" {
		return &pluginv1.ImportResponse{}, nil
	}
	return s.PluginServer.Import(ctx, r)
}

// spoiledApply spoils what an Apply answers.
type spoiledApply struct {
	grpc.ServerStreamingServer[pluginv1.ApplyResponse]
	s *spoiled
	r *pluginv1.ApplyRequest
}

func (s *spoiled) Apply(r *pluginv1.ApplyRequest, stream grpc.ServerStreamingServer[pluginv1.ApplyResponse]) error {
	if r.GetAction() == pluginv1.Action_ACTION_DELETE {
		s.gone.Store(r.GetAddress(), true)
	}
	switch {
	case s.mode == "does not look at the clock":
		r.BeginBeforeUnixMs = 0
	case s.mode == "is late all the same" && r.GetBeginBeforeUnixMs() == 1:
		s.late.Store(true)
	}
	return s.PluginServer.Apply(r, &spoiledApply{stream, s, r})
}

func (a *spoiledApply) Send(m *pluginv1.ApplyResponse) error {
	if res := m.GetResult(); res != nil && a.r.GetAction() != pluginv1.Action_ACTION_DELETE {
		switch a.s.mode {
		case "ends without a result":
			return nil
		case "applies something else":
			res.Outputs = a.s.other(a.r)
		case "leaves outputs unknown":
			res.Outputs = a.r.GetPlanned()
		case "fails":
			res.Diagnostics = []*pluginv1.Diagnostic{{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: "no"}}
		case "leaks in an output":
			if r := string(a.r.GetConfig().GetMsgpack()); strings.Contains(r, planted) {
				res.Outputs = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`{"revision":"` + planted + `","health":"Current","items":[],"sum":"x","used":"x"}`)}}
			}
		}
	}
	return a.ServerStreamingServer.Send(m)
}

// other are outputs that nobody has planned.
func (s *spoiled) other(r *pluginv1.ApplyRequest) *pluginv1.Value {
	text := `{"revision":"other","health":"Current","items":[],"sum":"other","used":"a token of some length"}`
	if r.GetKind() == "build" {
		text = `{"repository":"r/x","tag":"1.0","digest":"d","ref":"elsewhere","key":"k","platforms":[],"revision":""}`
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(text)}}
}
