package sdk

import (
	"time"

	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// atOnce is the number of instances of one Plan stream that are planned at the same time.
const atOnce = 64

// Plan answers each request of the stream, several at a time.
func (s *server) Plan(stream grpc.BidiStreamingServer[pluginv1.PlanRequest, pluginv1.PlanResponse]) error {
	var sending sync.Mutex
	send := func(r *pluginv1.PlanResponse) {
		sending.Lock()
		defer sending.Unlock()
		_ = stream.Send(r) // an error means that nobody listens any more; Recv says so too
	}
	// Workers stay: a goroutine's stack has to grow first for what an instance takes.
	requests := make(chan *pluginv1.PlanRequest)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(requests)
	work := func(r *pluginv1.PlanRequest) {
		p := &planning{server: s, req: r, send: send}
		p.answer(stream.Context())
	}
	for started := 0; ; {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if started < atOnce {
			select {
			case requests <- r: // one is free
			default:
				started++
				workers.Go(func() {
					work(r)
					for r := range requests {
						work(r)
					}
				})
			}
			continue
		}
		requests <- r
	}
}

// planning is one request of a Plan stream.
type planning struct {
	*server
	req  *pluginv1.PlanRequest
	typ  *typeInfo
	send func(*pluginv1.PlanResponse)

	mu    sync.Mutex
	over  bool // a goroutine that a method has left behind is not listened to
	items []Item
}

func (p *planning) answer(ctx context.Context) {
	var res *pluginv1.PlanResult
	found := guard(p.req.GetAddress(), func() (err error) {
		res, err = p.plan(ctx)
		return err
	})
	if res == nil || found.failed() {
		res = &pluginv1.PlanResult{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	res.Diagnostics = diagnostics(found)
	if err := tooLarge(res); err != nil {
		res = &pluginv1.PlanResult{Diagnostics: diagnostics(findings(err))}
	}
	p.send(&pluginv1.PlanResponse{Id: p.req.GetId(), Body: &pluginv1.PlanResponse_Result{Result: res}})
}

// plan calls the plugin's method. If the error has only warnings, the result is valid.
func (p *planning) plan(ctx context.Context) (*pluginv1.PlanResult, error) {
	t, err := p.typeOf(p.req.GetKind(), p.req.GetType())
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	p.typ = t
	if t.plan == nil {
		return nil, fmt.Errorf("a %s only receives events, so it cannot be planned", t.kind)
	}
	c, unknown, warnings, err := p.read()
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return t.deferred(c, unknown)
	}
	told, err := p.tell()
	if err != nil {
		return nil, err
	}
	ctx = with(ctx, told)
	if t.validate != nil && !c.destroy {
		if warnings = append(warnings, findings(t.validate(ctx, c.config))...); warnings.failed() {
			return nil, warnings
		}
	}
	err = t.plan(ctx, c)
	if later, ok := errors.AsType[*notKnownError](err); ok && t.apply != nil {
		return t.deferred(c, []Path{later.path})
	}
	warnings = append(warnings, findings(err)...)
	if warnings.failed() {
		return nil, warnings
	}
	p.mu.Lock()
	c.result.Items = append(c.result.Items, p.items...)
	p.mu.Unlock()
	res, err := t.protoResult(c)
	if err != nil {
		return nil, err
	}
	return res, warnings
}

// read decodes the request, and tells what is not known, and warnings.
func (p *planning) read() (*planCall, []Path, Errors, error) {
	r := p.req
	config, d, err := p.typ.config.readConfig(r.GetConfig())
	if r.GetDestroy() && len(d.broken) > 0 && err != nil {
		err = d.err() // what exists can be deleted, whatever the rules are by now
	}
	if err != nil {
		return nil, nil, nil, err
	}
	p.typ.config.addPieces(config, r.GetPartialTexts())
	unknown, warnings := d.unknown, d.deprecated
	if r.GetDestroy() {
		warnings = nil
	}
	c := &planCall{
		address: r.GetAddress(), config: config, destroy: r.GetDestroy(), private: r.GetPlannedPrivate(),
		candidates: Candidates{Tags: r.GetCandidates().GetTags(), Current: r.GetCandidates().GetCurrent(), Facts: facts(r.GetCandidates().GetFacts())},
	}
	if c.prior, err = p.typ.readRecord(r.GetPrior()); err != nil {
		return nil, nil, nil, err
	}
	if r.GetPinned() != nil {
		if c.pinned, _, err = p.typ.outputs.read(r.GetPinned()); err != nil {
			return nil, nil, nil, fmt.Errorf("the pinned outputs: %w", err)
		}
	}
	// A deletion goes by what was made.
	if c.prior != nil && (r.GetConfig() == nil || c.destroy && len(unknown) > 0) {
		c.config, unknown = c.prior.config, nil
	}
	return c, unknown, warnings, nil
}

// tell returns the callbacks of the method's context.
func (p *planning) tell() (*calls, error) {
	told, err := p.stacks.calls(p.req.GetStack())
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	told.log, told.sensitive = p.log, sensitivePaths(p.req.GetSensitivePaths())
	told.addItem = func(i Item) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.items = append(p.items, i)
	}
	return told, nil
}

// addPieces adds the known pieces of unknown texts to the fields of a configuration that can have them.
func (o *object) addPieces(config reflect.Value, texts []*pluginv1.PartialText) {
	for _, t := range texts {
		f := o.field(t.GetAttribute())
		if f == nil || len(t.GetKnown()) < 2 || slices.ContainsFunc(t.GetKnown(), func(s string) bool { return strings.Contains(s, gap) }) {
			continue
		}
		if v, ok := reflect.TypeAssert[anyValue](config.FieldByIndex(f.index).Addr()); ok {
			v.setPieces(t.GetKnown())
		}
	}
}

func (p *planning) log(stream, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	l := &pluginv1.Log{Stream: line(stream), Line: line(text)}
	p.send(&pluginv1.PlanResponse{Id: p.req.GetId(), Body: &pluginv1.PlanResponse_Log{Log: l}})
}

// deferred answers for a plugin with unknown plain fields: the instance is planned at apply.
func (t *typeInfo) deferred(c *planCall, unknown []Path) (*pluginv1.PlanResult, error) {
	action := ActionNone
	switch {
	case t.apply != nil && c.prior == nil:
		action = ActionCreate
	case t.apply != nil:
		action = ActionUpdate
	}
	outputs, err := wire.Encode(t.outputs.unknown, t.outputs.nothing.Type())
	if err != nil {
		return nil, err
	}
	return &pluginv1.PlanResult{Action: protoActions[action], Reasons: []string{"planned at apply: " + notKnown(unknown)}, Outputs: outputs}, nil
}

// notKnown is the reason of a deferred plan: "tag is not known yet".
func notKnown(unknown []Path) string {
	names := make([]string, len(unknown))
	for i, p := range unknown {
		names[i] = p.String()
	}
	if len(names) == 1 {
		return names[0] + " is not known yet"
	}
	return strings.Join(names, ", ") + " are not known yet"
}

// facts reads the facts about tags.
func facts(told map[string]*pluginv1.TagFacts) map[string]Resolved {
	all := make(map[string]Resolved, len(told))
	for tag, f := range told {
		r := Resolved{Digest: f.GetDigest(), Platforms: f.GetPlatforms(), Artifact: f.GetArtifact()}
		if f.GetCreatedUnix() != 0 {
			r.Created = time.Unix(f.GetCreatedUnix(), 0).UTC()
		}
		all[tag] = r
	}
	return all
}
