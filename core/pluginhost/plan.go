package pluginhost

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// plans shares one stream of a client among all callers. If the stream breaks, the waiting calls fail;
// the next call opens another stream, if the plugin still runs.
type plans struct {
	mu      sync.Mutex // never held while waiting
	current *planStream
}

// planStream is one stream with its waiting calls.
type planStream struct {
	client *Client
	ctx    context.Context
	cancel context.CancelFunc
	queue  chan *pluginv1.PlanRequest
	ended  chan struct{} // closed when err is set
	err    error

	// Under plans.mu:
	last    uint64               // the highest id given
	waiting map[uint64]*planCall // asked, not answered
	left    map[uint64]struct{}  // asked, not answered, and nobody waits for it any more
}

// planCall is one caller.
type planCall struct {
	id      uint64
	answers chan *pluginv1.PlanResponse
	gone    chan struct{} // closed when nobody reads answers any more
}

// Plan observes or plans one instance. All calls of a client share one stream, and may be concurrent;
// Plan sets the ID of r. onLog, which may be nil, is called with each log line before Plan returns; a slow function
// delays the stream. When the context ends, Plan returns at once. A stream without waiting calls is ended, so
// that the plugin stops working.
func (c *Client) Plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	doing := "planning " + r.GetAddress()
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	s, call := c.join()
	asked := false
	defer func() { s.leave(call, asked) }()
	select {
	case s.queue <- c.request(r, call.id):
		asked = true
	case <-s.ended:
		return nil, c.failed(ctx, doing, s.err)
	case <-ctx.Done():
		return nil, c.failed(ctx, doing, ctx.Err())
	}
	for {
		m, err := s.next(ctx, call)
		if err != nil {
			return nil, c.failed(ctx, doing, err)
		}
		switch b := m.GetBody().(type) {
		case *pluginv1.PlanResponse_Result:
			return b.Result, nil
		case *pluginv1.PlanResponse_Log:
			if onLog != nil {
				onLog(b.Log)
			}
		}
	}
}

// request returns r with the id and the stack of the call, without copying what is in it: the caller may ask again with
// the same r while the stream still sends this one.
func (c *Client) request(r *pluginv1.PlanRequest, id uint64) *pluginv1.PlanRequest {
	return &pluginv1.PlanRequest{
		Id: id, Address: r.GetAddress(), Kind: r.GetKind(), Type: r.GetType(), Config: r.GetConfig(), Prior: r.GetPrior(), Destroy: r.GetDestroy(),
		Pinned: r.GetPinned(), PlannedPrivate: r.GetPlannedPrivate(), Candidates: r.GetCandidates(), Stack: c.stack, PartialTexts: r.GetPartialTexts(),
		SensitivePaths: r.GetSensitivePaths(),
	}
}

// join makes a caller on the open stream, or on a new one.
func (c *Client) join() (*planStream, *planCall) {
	c.plans.mu.Lock()
	defer c.plans.mu.Unlock()
	s := c.plans.current
	if s == nil {
		s = &planStream{
			client: c, queue: make(chan *pluginv1.PlanRequest), ended: make(chan struct{}),
			waiting: map[uint64]*planCall{}, left: map[uint64]struct{}{},
		}
		s.ctx, s.cancel = context.WithCancel(c.host.ctx)
		c.plans.current = s
		go s.run()
	}
	s.last++
	call := &planCall{id: s.last, answers: make(chan *pluginv1.PlanResponse, 4), gone: make(chan struct{})}
	s.waiting[call.id] = call
	return s, call
}

// leave removes a call from the stream. Each caller calls it once.
func (s *planStream) leave(call *planCall, asked bool) {
	close(call.gone)
	p := &s.client.plans
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.waiting[call.id] == nil {
		return // answered
	}
	delete(s.waiting, call.id)
	if asked {
		s.left[call.id] = struct{}{}
	}
	if len(s.waiting) == 0 {
		s.retire()
	}
}

// retire takes the stream out of use and ends it. plans.mu is held.
func (s *planStream) retire() {
	if s.client.plans.current == s {
		s.client.plans.current = nil
	}
	s.cancel()
}

// next returns the next answer to a call. What came before the stream's end is returned first.
func (s *planStream) next(ctx context.Context, call *planCall) (*pluginv1.PlanResponse, error) {
	select {
	case m := <-call.answers:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ended:
	}
	select {
	case m := <-call.answers:
		return m, nil
	default:
		return nil, s.err
	}
}

// run receives answers until the stream ends, and then fails the waiting calls with its error.
func (s *planStream) run() {
	s.err = s.work()
	p := &s.client.plans
	p.mu.Lock()
	s.retire()
	p.mu.Unlock()
	close(s.ended)
}

func (s *planStream) work() error {
	stream, err := s.client.rpc.Plan(s.ctx)
	if err != nil {
		return err
	}
	go s.send(stream)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return s.client.broken("", "ended its stream of answers")
		}
		if err != nil {
			return err
		}
		call, problem := s.receiver(m)
		if problem != "" {
			return s.client.broken("", problem)
		}
		if call == nil {
			continue
		}
		select {
		case call.answers <- m:
		case <-call.gone:
		case <-s.ctx.Done():
		}
	}
}

// send sends what callers queue, one at a time: a stream takes no more.
func (s *planStream) send(stream grpc.BidiStreamingClient[pluginv1.PlanRequest, pluginv1.PlanResponse]) {
	for {
		select {
		case r := <-s.queue:
			if stream.Send(r) != nil {
				return // the receiver hears why
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// receiver returns the call of an answer; nil if the caller has left. An answer without a request is an error: the plugin
// mixes up its instances, and the call with the right ID would wait for ever.
func (s *planStream) receiver(m *pluginv1.PlanResponse) (*planCall, string) {
	s.client.plans.mu.Lock()
	defer s.client.plans.mu.Unlock()
	id := m.GetId()
	_, last := m.GetBody().(*pluginv1.PlanResponse_Result)
	if call := s.waiting[id]; call != nil {
		if last {
			delete(s.waiting, id)
		}
		return call, ""
	}
	if !last {
		return nil, "" // a line that came too late
	}
	if _, ok := s.left[id]; ok {
		delete(s.left, id)
		return nil, ""
	}
	if id == 0 || id > s.last {
		return nil, "answered for an instance that was not requested"
	}
	return nil, "answered twice for one instance"
}
