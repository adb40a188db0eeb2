package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	userAgent = "davit"
	tries     = 4
	// longestWait is how long a registry's Retry-After is obeyed. A longer one is an error at once.
	longestWait = 30 * time.Second
)

// Options are the options of every call to repo's registry: the credentials of the stack, else of the docker configuration,
// retries of what may pass, a user agent, ctx. Plain HTTP goes only where Repository allowed it.
func Options(ctx context.Context, repo name.Repository) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(keychain(ctx)),
		remote.WithUserAgent(userAgent),
		remote.WithTransport(roundTripper(repo)),
		// Requests are repeated by the transport below, which knows Retry-After. What is left to
		// ggcr is to start an upload again whose body cannot be sent twice.
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(restartUpload),
		remote.WithRetryBackoff(remote.Backoff{Duration: 500 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}),
	}
}

func roundTripper(repo name.Repository) http.RoundTripper {
	return &guard{
		inner: sealed{&retry{inner: &byMethod{pools()}, first: 200 * time.Millisecond}},
		host:  repo.RegistryStr(),
		plain: insecureByWish(repo),
	}
}

// insecureByWish tells whether Repository was told to allow plain HTTP beyond this machine.
func insecureByWish(repo name.Repository) bool {
	plain, err := name.NewRegistry(repo.RegistryStr())
	return err == nil && plain != repo.Registry && !isLoopback(repo.RegistryStr())
}

// guard lets plain HTTP go to this machine only, unless the configuration allows more.
// ggcr alone would also use it for all private addresses.
type guard struct {
	inner http.RoundTripper
	host  string
	plain bool
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	here := isLoopback(r.URL.Host)
	if here && !isLoopback(g.host) {
		return nil, fmt.Errorf("%s redirects to %s, which is this machine: nothing is sent there", g.host, r.URL.Host)
	}
	if r.URL.Scheme != "http" || g.plain || here {
		return bearerFirst(g.inner.RoundTrip(r))
	}
	if r.URL.Host != g.host {
		return nil, fmt.Errorf("%s redirects to http://%s: nothing is sent there without encryption", g.host, r.URL.Host)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme = "https"
	return bearerFirst(g.inner.RoundTrip(r))
}

// bearerFirst leaves the Bearer challenges of a refused request alone when there are other ones beside them. ggcr takes the first that it
// knows, and with Basic nobody gets in who has no login.
func bearerFirst(response *http.Response, err error) (*http.Response, error) {
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	var bearer []string
	for _, challenge := range response.Header.Values("WWW-Authenticate") {
		if at := reBearer.FindStringIndex(challenge); at != nil {
			bearer = append(bearer, strings.TrimLeft(challenge[at[0]:], ", "))
		}
	}
	if len(bearer) > 0 {
		response.Header["Www-Authenticate"] = bearer
	}
	return response, nil
}

var reBearer = regexp.MustCompile(`(?i)(^|,\s*)Bearer\s`)

// openAtOnce is how many requests to one host wait for an answer at a time.
const openAtOnce = 10

var (
	hostsMutex sync.Mutex
	hosts      = map[string]chan struct{}{}
)

// enter waits until a request to host may begin, and returns what is to be called when it has its answer.
func enter(ctx context.Context, host string) (leave func(), err error) {
	hostsMutex.Lock()
	places, ok := hosts[host]
	if !ok {
		places = make(chan struct{}, openAtOnce)
		hosts[host] = places
	}
	hostsMutex.Unlock()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// byMethod gives up sooner on a reader's answer than on a writer's: a registry
// may check a large layer before it answers.
type byMethod struct{ pool [2]*http.Transport }

// pools are the connections of the process, shared by all calls.
var pools = sync.OnceValue(func() [2]*http.Transport {
	reads := remote.DefaultTransport.(*http.Transport).Clone()
	reads.ResponseHeaderTimeout = 30 * time.Second
	writes := reads.Clone()
	writes.ResponseHeaderTimeout = 5 * time.Minute
	return [2]*http.Transport{reads, writes}
})

func (t *byMethod) RoundTrip(r *http.Request) (*http.Response, error) {
	leave, err := enter(r.Context(), r.URL.Host)
	if err != nil {
		return nil, err
	}
	defer leave()
	if isRead(r) {
		return t.pool[0].RoundTrip(r)
	}
	return t.pool[1].RoundTrip(r)
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// retry repeats requests that failed for a reason that may pass: 429, 5xx, a broken connection.
type retry struct {
	inner http.RoundTripper
	first time.Duration // first pause; each next one is three times longer
}

// waitFor makes the error of an answer that asks to wait for too long.
func waitFor(r *http.Request, response *http.Response, after time.Duration) error {
	response.Request = r
	err := transport.CheckError(response)
	drain(response)
	return &Busy{After: after, Err: err}
}

// triedError marks an error after which trying again was tried already.
type triedError struct{ error }

func (e triedError) Unwrap() error { return e.error }

func (t *retry) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return t.inner.RoundTrip(r)
	}
	pause := &backoff.ExponentialBackOff{InitialInterval: t.first, Multiplier: 3, RandomizationFactor: 0.1, MaxInterval: longestWait}
	pause.Reset()
	for try := 1; ; try++ {
		response, err := t.inner.RoundTrip(r)
		wait := pause.NextBackOff()
		switch {
		case err != nil && (try == tries || !mayPass(err)):
			return nil, triedError{err}
		case err != nil:
		case try == tries || !passes(response.StatusCode):
			return response, nil
		default:
			if asked := retryAfter(response, time.Now()); asked > longestWait {
				return nil, waitFor(r, response, asked)
			} else if asked > 0 {
				wait = asked
			}
			drain(response)
		}
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
}

func again(r *http.Request) (*http.Request, error) {
	r = r.Clone(r.Context())
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("sending the request's body again: %w", err)
	}
	r.Body = body
	return r, nil
}

func drain(response *http.Response) {
	// So much is read to keep the connection; a larger body is cut.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func passes(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func mayPass(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, e := range []error{syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// restartUpload tells whether ggcr should begin a layer's upload again.
func restartUpload(err error) bool {
	if answered, ok := errors.AsType[*transport.Error](err); ok {
		return answered.Request != nil && answered.Request.Method == http.MethodPatch && passes(answered.StatusCode)
	}
	var tried triedError
	return err != nil && !errors.As(err, &tried) && mayPass(err)
}

// retryAfter reads how long the registry asks to wait: seconds or a date. 0 when it does not.
func retryAfter(response *http.Response, now time.Time) time.Duration {
	v := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*3600)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
