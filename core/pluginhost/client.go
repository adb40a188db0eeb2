package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

const (
	// graceTime is the time limit for a plugin to end after it was asked to.
	graceTime = 2 * time.Second
	// exitTime is the time to wait for the end of the process after its connection broke.
	exitTime = time.Second
)

// Client is a running plugin. Its methods may be called concurrently. Their errors have the type *Error, and
// wrap the error of the context if the context ended the call.
type Client struct {
	*running
	stack string // id of the stack that the calls are for; "" when the process serves one stack only
}

// running is a plugin's process and the connection to it. Clients of several stacks share it.
type running struct {
	host     *Host
	name     string
	plugin   *goplugin.Client
	attached *grpc.ClientConn // instead of plugin, to one that was started by other means
	output   *tail
	printed  func(line []byte) // told the lines of its standard output
	rpc      pluginv1.PluginClient

	starting sync.Mutex
	process  *process
	doomed   bool // killed before there was a process

	lineage string // that the plugin was told; the host's mu is its lock

	stopping atomic.Bool
	stopped  sync.Once
	plans    plans
}

// adopt makes p the client's process, unless the start was given up.
func (c *Client) adopt(p *process) (*process, error) {
	c.starting.Lock()
	defer c.starting.Unlock()
	if c.doomed {
		return nil, context.Canceled
	}
	c.process = p
	return p, nil
}

// kill ends the process now, or prevents it.
func (c *Client) kill() {
	c.starting.Lock()
	defer c.starting.Unlock()
	c.doomed = true
	if c.process != nil {
		c.process.kill()
	}
}

// supervise ends the calls and the connection of a plugin that has ended.
func (c *Client) supervise() {
	<-c.process.done
	c.stop()
}

// stop asks the plugin to end, and kills it if it does not.
func (c *Client) stop() {
	c.stopped.Do(func() {
		if c.attached != nil {
			c.stopping.Store(true)
			_ = c.attached.Close()
			return
		}
		if _, ended := c.process.ended(); !ended {
			c.stopping.Store(true)
		}
		force := time.AfterFunc(graceTime, c.process.kill)
		defer force.Stop()
		c.plugin.Kill()
		c.process.kill()
		<-c.process.done
	})
}

// Ended returns whether the plugin has ended, and how: "exit status 0", "signal: killed".
func (c *Client) Ended() (how string, ended bool) { return c.process.ended() }

// Describe returns the plugin's name, version and types.
func (c *Client) Describe(ctx context.Context) (*pluginv1.DescribeResponse, error) {
	const doing = "describing itself"
	if err := c.check(doing, nil); err != nil {
		return nil, err
	}
	r, err := c.rpc.Describe(ctx, &pluginv1.DescribeRequest{})
	return r, c.failed(ctx, doing, err)
}

// Validate checks one configuration without reading real objects.
func (c *Client) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	doing := fmt.Sprintf("validating a %s %q", r.GetKind(), r.GetType())
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	r.Stack = c.stack
	res, err := c.rpc.Validate(ctx, r)
	return res, c.failed(ctx, doing, err)
}

// Resolve returns the facts of one tag of an image.
func (c *Client) Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error) {
	doing := fmt.Sprintf("resolving tag %q of %s", r.GetTag(), r.GetAddress())
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	r.Stack = c.stack
	res, err := c.rpc.Resolve(ctx, r)
	return res, c.failed(ctx, doing, err)
}

// Import reads an existing object, so that it becomes managed.
func (c *Client) Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error) {
	doing := fmt.Sprintf("importing %q as %s", r.GetId(), r.GetAddress())
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	r.Stack = c.stack
	res, err := c.rpc.Import(ctx, r)
	return res, c.failed(ctx, doing, err)
}

// Notify sends an event.
func (c *Client) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	doing := "telling " + r.GetAddress()
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	r.Stack = c.stack
	res, err := c.rpc.Notify(ctx, r)
	return res, c.failed(ctx, doing, err)
}

// Watch calls notice, one call at a time, for each change of the instances of r that the plugin detects. It runs until the context ends, and
// then returns nil, or until the plugin fails.
func (c *Client) Watch(ctx context.Context, r *pluginv1.WatchRequest, notice func(*pluginv1.WatchResponse)) error {
	const doing = "watching"
	r.Stack = c.stack
	if err := c.check(doing, r); err != nil {
		return err
	}
	stream, err := c.rpc.Watch(ctx, r)
	for err == nil {
		var m *pluginv1.WatchResponse
		if m, err = stream.Recv(); err == nil {
			notice(m)
		}
	}
	if _, bounded := ctx.Deadline(); bounded && status.Code(err) == codes.DeadlineExceeded {
		<-ctx.Done() // the plugin knows the deadline as well, and its clock may be a moment ahead
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, io.EOF):
		return c.broken(doing, "stopped watching without a reason")
	}
	return c.failed(ctx, doing, err)
}

// Cancel asks all running operations to end cleanly and soon.
func (c *Client) Cancel(ctx context.Context) error {
	const doing = "cancelling"
	if err := c.check(doing, nil); err != nil {
		return err
	}
	_, err := c.rpc.Cancel(ctx, &pluginv1.CancelRequest{Stack: c.stack})
	return c.failed(ctx, doing, err)
}

// Apply carries one planned change out. It calls on, one call at a time, with each log line, progress, item and checkpoint in their order;
// the plugin gets no further than a few messages ahead. An error of on ends the call and is returned as it is.
func (c *Client) Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error) {
	doing := "applying " + r.GetAddress()
	if err := c.check(doing, r); err != nil {
		return nil, err
	}
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	r.Stack = c.stack
	stream, err := c.rpc.Apply(streaming, r)
	if err != nil {
		return nil, c.failed(ctx, doing, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, c.broken(doing, "ended its answer without a result")
		}
		if err != nil {
			return nil, c.failed(ctx, doing, err)
		}
		switch m.GetBody().(type) {
		case *pluginv1.ApplyResponse_Result:
			return m.GetResult(), nil
		case nil: // of a later minor version
		default:
			if err := on(m); err != nil {
				return nil, err
			}
		}
	}
}

// check refuses calls that cannot be made.
func (c *Client) check(doing string, r proto.Message) error {
	if _, ended := c.process.ended(); ended || c.attached != nil && c.stopping.Load() {
		return c.gone(doing)
	}
	if r == nil {
		return nil
	}
	// A request that is too large would end the stream that others wait on. Its id is still to come.
	const idSize = 16
	if size := proto.Size(r); size > c.host.limit-idSize {
		return &Error{
			Plugin: c.name, Doing: doing, Hint: "Split the block, or keep large content in files.",
			Problem: "was not asked", Detail: fmt.Sprintf("the request has %d bytes, but the limit is %d", size, c.host.limit),
		}
	}
	return nil
}

// gone returns the error of a plugin that has ended.
func (c *Client) gone(doing string) *Error {
	if _, ended := c.process.ended(); c.stopping.Load() || !ended && c.host.ctx.Err() != nil {
		return &Error{Plugin: c.name, Doing: doing, Problem: "was stopped because davit is stopping", Err: context.Canceled}
	}
	how, _ := c.process.ended()
	e := &Error{Plugin: c.name, Doing: doing, Problem: "ended (" + how + ")", Output: c.output.last()}
	if strings.Contains(how, "killed") {
		e.Hint = "If nobody killed it, the machine may be short of memory."
	}
	return e
}

// broken returns the error of a plugin that violates the protocol.
func (c *Client) broken(doing, problem string) *Error {
	return &Error{Plugin: c.name, Doing: doing, Problem: problem, Hint: reportIt}
}

// failed turns an error of gRPC into one for people; nil stays nil.
func (c *Client) failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return c.interrupted(ctx, doing)
	}
	if known, ok := errors.AsType[*Error](err); ok {
		e := *known
		e.Doing = doing
		return &e
	}
	code := status.Code(err)
	if c.attached == nil && (code == codes.Unavailable || code == codes.Canceled || code == codes.Internal) {
		c.process.wait(ctx, exitTime)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 0 {
		// The plugin knows the deadline as well, and may notice a moment earlier that it has passed.
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return c.interrupted(ctx, doing)
	}
	if _, ended := c.process.ended(); ended || c.stopping.Load() || c.host.ctx.Err() != nil {
		return c.gone(doing)
	}
	return c.said(doing, code, err)
}

// interrupted returns the error of a call whose context has ended.
func (c *Client) interrupted(ctx context.Context, doing string) *Error {
	e := &Error{Plugin: c.name, Doing: doing, Problem: "was interrupted", Err: ctx.Err()}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Problem = "did not answer in time"
	}
	return e
}

// said returns the error that a living plugin, or its connection, returned.
func (c *Client) said(doing string, code codes.Code, err error) *Error {
	e := &Error{Plugin: c.name, Doing: doing, Problem: "failed", Detail: printable(errorText(err)), Err: err}
	switch {
	case code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"):
		e.Problem, e.Detail, e.Hint = fmt.Sprintf("sent more than %d bytes in one message", c.host.limit), "", reportIt
		if m := tooLarge.FindStringSubmatch(err.Error()); m != nil && m[1] != strconv.Itoa(c.host.limit) { // the other side's limit
			e.Problem = "accepts at most " + m[1] + " bytes in one message"
		}
	case code == codes.Unimplemented:
		e.Problem, e.Detail, e.Hint = "does not know the call", "", "It may be older than this davit: get a newer version of the plugin."
	case code == codes.Unavailable:
		e.Problem, e.Detail, e.Output = "closed its connection", "", c.output.last()
	}
	return e
}

// tooLarge matches gRPC's error for a message that is larger than the limit of its receiver, on either side.
var tooLarge = regexp.MustCompile(`larger than max \(\d+ vs\. (\d+)\)`)

// errorText returns the text of an error without gRPC's own words.
func errorText(err error) string {
	if s, ok := status.FromError(err); ok && s.Message() != "" {
		return s.Message()
	}
	return err.Error()
}
