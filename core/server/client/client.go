// Package client calls the API of davit serve.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/server"
)

// Client calls one server. It may be used concurrently.
type Client struct {
	base  string
	token string
	who   string
	http  *http.Client
}

// New returns a client of a server: "unix:PATH", or the URL of one. The token is sent over TLS and to loopback addresses only. who is the
// person who calls.
func New(address, token, who string) (*Client, error) {
	if path, is := strings.CutPrefix(address, "unix:"); is {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		return &Client{base: "http://davit", who: who, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no address of a server: use unix:PATH or https://HOST", address)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("%s would send the token in clear: use https://", address)
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimSuffix(u.String(), "/"), token: token, who: who, http: &http.Client{CheckRedirect: refuse}}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Error is an answer of the server that is an error.
type Error struct {
	Code int
	Text string
}

func (e *Error) Error() string { return e.Text }

// Stacks returns all stacks, without their instances.
func (c *Client) Stacks(ctx context.Context) ([]status.Stack, error) {
	var list server.StackList
	return list.Stacks, c.call(ctx, "GET", "/api/v1/stacks", nil, &list)
}

// Stack returns a stack with its instances.
func (c *Client) Stack(ctx context.Context, name string) (*status.Stack, error) {
	s := &status.Stack{}
	return s, c.call(ctx, "GET", stackPath(name), nil, s)
}

// Sync orders a look at a stack, or at one instance.
func (c *Client) Sync(ctx context.Context, stack, address string) (*status.Order, error) {
	o := &status.Order{}
	return o, c.call(ctx, "POST", stackPath(stack)+"/sync", server.SyncBody{Address: address}, o)
}

// Decide approves or rejects ("approve", "reject") the change of an instance that waits.
func (c *Client) Decide(ctx context.Context, verdict, stack, address, digest string) (*status.Order, error) {
	o := &status.Order{}
	return o, c.call(ctx, "POST", stackPath(stack)+"/"+verdict, server.VerdictBody{Address: address, Digest: digest}, o)
}

// Rollback orders that an instance returns to an earlier revision, 0: the one before the newest.
func (c *Client) Rollback(ctx context.Context, stack, address string, revision uint64, reason string) (*status.Order, error) {
	o := &status.Order{}
	return o, c.call(ctx, "POST", stackPath(stack)+"/rollback", server.RollbackBody{Address: address, Revision: revision, Reason: reason}, o)
}

// Release orders that an instance is no longer held at the revision of a rollback.
func (c *Client) Release(ctx context.Context, stack, address string) (*status.Order, error) {
	o := &status.Order{}
	return o, c.call(ctx, "POST", stackPath(stack)+"/release", server.ReleaseBody{Address: address}, o)
}

// Suspend suspends a stack, or ends that ("suspend", "resume").
func (c *Client) Suspend(ctx context.Context, verb, stack string) error {
	return c.call(ctx, "POST", stackPath(stack)+"/"+verb, nil, &server.Nothing{})
}

// Order returns an order as it is now.
func (c *Client) Order(ctx context.Context, stack, token string) (*status.Order, error) {
	o := &status.Order{}
	return o, c.call(ctx, "GET", stackPath(stack)+"/orders/"+url.PathEscape(token), nil, o)
}

// Wait waits until an order has ended.
func (c *Client) Wait(ctx context.Context, stack, token string) (*status.Order, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		o, err := c.Order(ctx, stack, token)
		if err != nil || o.Over() {
			return o, err
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Listen calls a function for each event of a stack, "" for all, until the context ends or the server goes away.
func (c *Client) Listen(ctx context.Context, stack string, each func(reconcile.Event)) error {
	res, err := c.send(ctx, "GET", "/api/v1/events?stack="+url.QueryEscape(stack), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		if !is {
			continue
		}
		var e reconcile.Event
		if json.Unmarshal([]byte(data), &e) == nil {
			each(e)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(lines.Err(), errors.New("the server has ended the connection"))
}

func stackPath(name string) string { return "/api/v1/stacks/" + url.PathEscape(name) }

func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	res, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("the answer of the server cannot be read: %w", err)
	}
	return nil
}

// send makes a call. An answer that is an error becomes an *Error.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.who != "" {
		r.Header.Set(server.UserHeader, c.who)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the server cannot be reached: %w", err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var p server.Problem
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		p.Error = "the server answered " + res.Status
	}
	return nil, &Error{Code: res.StatusCode, Text: p.Error}
}
