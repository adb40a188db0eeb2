// Package hooks receives webhooks of Git hosts and registries below /hooks/ID. Each hook has a type and a secret. Who calls is checked before
// the body is parsed, and all that a body can do is to say where there may be something new: it yields a hint.Hint.
package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/davit-sh/davit/core/reconcile/hint"
)

const (
	maxBody = 1 << 20
	// atOnce is how many bodies are read at the same time. Others wait a moment, and are refused then.
	atOnce   = 8
	waitTime = 2 * time.Second
	bodyTime = 5 * time.Second // to read one
	// A hook may be called so often; a host that repeats a call later is served then.
	perSecond, burst = 10, 100
	// An address may fail so often. It is not listened to any more then, for a while.
	failuresPerSecond, failureBurst = 1, 20
	mostAddresses                   = 4096
)

// Options say which hooks there are.
type Options struct {
	Hooks []Hook
	Found func(hint.Hint) (instances int) // is told each hint, must not block, and returns how many instances it is about
	Log   *slog.Logger                    // nil: nobody listens
	// Forwarded says that a proxy in front writes the caller's address at the end of X-Forwarded-For. Without such a proxy anybody could
	// write it.
	Forwarded bool
}

// Handler serves the hooks. It may be used concurrently.
type Handler struct {
	options Options
	hooks   map[string]*hook
	bodies  chan struct{}
	callers *callers
	warn    *rate.Limiter
}

type hook struct {
	Hook
	calls *rate.Limiter
}

// New returns a handler for hooks whose ids differ.
func New(o Options) *Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{options: o, hooks: map[string]*hook{}, bodies: make(chan struct{}, atOnce), callers: newCallers(), warn: rate.NewLimiter(rate.Every(time.Minute), 1)}
	for _, one := range o.Hooks {
		h.hooks[one.ID] = &hook{one, rate.NewLimiter(perSecond, burst)}
	}
	return h
}

// ServeHTTP implements http.Handler. Its answers tell a stranger nothing: a hook that is not there and a wrong signature are the same.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	address := h.addressOf(r)
	if !h.callers.listenedTo(address) {
		refuse(w, http.StatusTooManyRequests)
		return
	}
	code, found := h.receive(w, r)
	switch code {
	case http.StatusUnauthorized:
		if h.callers.failed(address) && h.warn.Allow() {
			h.options.Log.Warn("calls of webhooks are refused for a while: too many without a right signature or token", "from", address)
		}
		refuse(w, code)
		return
	case http.StatusAccepted:
		n := h.options.Found(found)
		h.options.Log.Info("webhook", "hook", found.Hook, "kind", found.Kind, "repositories", found.Repositories, "ref", found.Ref, "from", address, "instances", n)
	}
	if code >= 400 {
		refuse(w, code)
		return
	}
	w.WriteHeader(code)
}

// refuse answers without a word, and without reading what else is sent.
func refuse(w http.ResponseWriter, code int) {
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(code)
}

// receive checks one call and reads it. The hint is set with 202; 200 is a call that says nothing.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request) (code int, found hint.Hint) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/hooks/"), "/")
	one := h.hooks[id]
	if one == nil {
		return http.StatusUnauthorized, found
	}
	kind := kinds[one.Type]
	if !kind.signs() && !kind.authorised(r, rest, one.secret) {
		return http.StatusUnauthorized, found
	}
	if kind.signs() && kind.signature(r.Header) == "" {
		return http.StatusUnauthorized, found
	}
	if !h.enter(r) {
		return http.StatusServiceUnavailable, found
	}
	defer h.leave()
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // one that cannot do it has the server's
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return http.StatusRequestEntityTooLarge, found
		}
		return http.StatusBadRequest, found
	}
	if kind.signs() && !verify(kind.signature(r.Header), body, one.secret) {
		return http.StatusUnauthorized, found
	}
	if !one.calls.Allow() {
		return http.StatusTooManyRequests, found
	}
	if body, err = payload(r.Header.Get("Content-Type"), body); err != nil {
		return http.StatusBadRequest, found
	}
	if found, err = kind.read(r.Header, body); err != nil {
		return http.StatusBadRequest, hint.Hint{}
	}
	if len(found.Repositories) == 0 {
		return http.StatusOK, found
	}
	found.Hook = one.ID
	return http.StatusAccepted, found
}

// enter waits until a body may be read.
func (h *Handler) enter(r *http.Request) bool {
	t := time.NewTimer(waitTime)
	defer t.Stop()
	select {
	case h.bodies <- struct{}{}:
		return true
	case <-t.C:
	case <-r.Context().Done():
	}
	return false
}

func (h *Handler) leave() { <-h.bodies }

// verify compares a signature in hexadecimal digits with the HMAC-SHA256 of a body, in constant time.
func verify(signature string, body, secret []byte) bool {
	given, err := hex.DecodeString(signature)
	if err != nil || len(secret) == 0 {
		return false
	}
	sum := hmac.New(sha256.New, secret)
	_, _ = sum.Write(body) // a hash takes everything
	return hmac.Equal(given, sum.Sum(nil))
}

// isSecret compares a token with the secret in a time that does not depend on either.
func isSecret(token string, secret []byte) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256(secret)
	return len(secret) > 0 && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// payload takes the JSON out of a form, as GitHub can send it.
func payload(contentType string, body []byte) ([]byte, error) {
	if !strings.HasPrefix(contentType, "application/x-www-form-urlencoded") {
		return body, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	return []byte(form.Get("payload")), nil
}

// addressOf is where a call comes from, without the port.
func (h *Handler) addressOf(r *http.Request) string {
	if h.options.Forwarded {
		all := r.Header.Values("X-Forwarded-For")
		if len(all) > 0 {
			last := all[len(all)-1]
			last = strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
			if ip, err := netip.ParseAddr(last); err == nil {
				return ip.String()
			}
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
