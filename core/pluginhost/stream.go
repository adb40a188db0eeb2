package pluginhost

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// planStream shares one Plan stream among all callers.
type planStream struct {
	rpc    pluginv1.PluginClient
	ctx    context.Context
	cancel context.CancelFunc
	out    chan *pluginv1.PlanRequest

	mu      sync.Mutex
	open    bool
	err     error // why the stream ended
	next    uint64
	pending map[uint64]*waiting
}

type waiting struct {
	log    func(*pluginv1.Log)
	result chan *pluginv1.PlanResult
}

func newPlanStream(rpc pluginv1.PluginClient) *planStream {
	ctx, cancel := context.WithCancel(context.Background())
	return &planStream{rpc: rpc, ctx: ctx, cancel: cancel, out: make(chan *pluginv1.PlanRequest), pending: map[uint64]*waiting{}}
}

func (p *planStream) close() { p.cancel() }

func (p *planStream) call(ctx context.Context, r *pluginv1.PlanRequest, log func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	id, w, err := p.register(log)
	if err != nil {
		return nil, err
	}
	r.Id = id
	select {
	case p.out <- r:
	case <-ctx.Done():
		p.forget(id)
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, p.why()
	}
	select {
	case res := <-w.result:
		return res, nil
	case <-ctx.Done():
		p.forget(id)
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, p.why()
	}
}

// register opens the stream on first use and takes an id.
func (p *planStream) register(log func(*pluginv1.Log)) (uint64, *waiting, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, nil, p.err
	}
	if !p.open {
		stream, err := p.rpc.Plan(p.ctx)
		if err != nil {
			return 0, nil, err
		}
		p.open = true
		go p.send(stream)
		go p.receive(stream)
	}
	p.next++
	w := &waiting{log: log, result: make(chan *pluginv1.PlanResult, 1)}
	p.pending[p.next] = w
	return p.next, w, nil
}

// forget leaves an entry that takes the late answer.
func (p *planStream) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.pending[id]; w != nil {
		w.log = nil
	}
}

func (p *planStream) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return status.Error(codes.Canceled, "the run is over")
}

func (p *planStream) end(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.cancel()
}

func (p *planStream) send(stream grpc.BidiStreamingClient[pluginv1.PlanRequest, pluginv1.PlanResponse]) {
	for {
		select {
		case r := <-p.out:
			if err := stream.Send(r); err != nil {
				return // receive is told why
			}
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *planStream) receive(stream grpc.BidiStreamingClient[pluginv1.PlanRequest, pluginv1.PlanResponse]) {
	for {
		m, err := stream.Recv()
		if err != nil {
			p.end(err)
			return
		}
		if err := p.deliver(m); err != nil {
			p.end(err)
			return
		}
	}
}

func (p *planStream) deliver(m *pluginv1.PlanResponse) error {
	p.mu.Lock()
	w := p.pending[m.GetId()]
	res := m.GetResult()
	if w != nil && res != nil {
		delete(p.pending, m.GetId())
	}
	var log func(*pluginv1.Log)
	if w != nil {
		log = w.log
	}
	p.mu.Unlock()
	switch {
	case w == nil:
		return fmt.Errorf("it answered for an instance (%d) that was not asked for, or twice: this is a defect of the plugin", m.GetId())
	case res != nil:
		w.result <- res
	case log != nil && m.GetLog() != nil:
		log(m.GetLog())
	}
	return nil
}
