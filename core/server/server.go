// Package server serves the HTTP API of a loop.
//
// There is one table of endpoints. Each has the verb that a caller needs for it, and the OpenAPI document is made of the same table. Callers
// over a Unix socket are its owner and may do everything; all others have a token.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/state"
)

// Loop is what the API is about: reconcile.Loop.
type Loop interface {
	Stacks() []status.Stack
	Stack(name string) (status.Stack, error)
	Plan(ctx context.Context, stack string) (*plan.Plan, error)
	History(ctx context.Context, stack, address string) ([]state.Revision, error)
	Sync(stack, address, who string) (status.Order, error)
	Order(stack, token string) (status.Order, error)
	Approve(ctx context.Context, stack string, v reconcile.Verdict) (status.Order, error)
	Reject(ctx context.Context, stack string, v reconcile.Verdict) (status.Order, error)
	Rollback(stack, address string, revision uint64, reason string, by reconcile.Verdict) (status.Order, error)
	Release(stack, address, who string) (status.Order, error)
	Suspend(ctx context.Context, stack, who string) error
	Resume(ctx context.Context, stack string) error
	Subscribe(ctx context.Context, stack string) <-chan reconcile.Event
	Totals() map[string]reconcile.Totals
}

// Options say what is served.
type Options struct {
	Loop    Loop
	Version string
	Tokens  *Tokens      // nil: only the owner of a Unix socket may call
	Log     *slog.Logger // audit lines go there as well
	Hooks   http.Handler // webhooks, below /hooks/; nil: there are none
}

// Server is the API. It may be used concurrently.
type Server struct {
	options Options
	mux     *http.ServeMux
	counts  counts
}

const (
	maxBody    = 1 << 20
	answerTime = 60 * time.Second
)

// New returns a server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, mux: http.NewServeMux()}
	for _, e := range endpoints() {
		s.mux.Handle(e.Method+" "+e.Path, s.guarded(e))
	}
	if o.Hooks != nil {
		s.mux.Handle("/hooks/", http.MaxBytesHandler(o.Hooks, maxBody))
	}
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve serves on a listener until the context ends. On one that is no Unix socket, tls is needed unless it is a loopback address.
func (s *Server) Serve(ctx context.Context, l net.Listener, tlsConfig *tls.Config) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if isOwnerSocket(c) {
				return context.WithValue(ctx, ownerKey{}, true)
			}
			return ctx
		},
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if tlsConfig != nil {
		l = tls.NewListener(l, tlsConfig)
	}
	stopped := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
	})
	defer stopped()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// guarded runs an endpoint for callers that may use it, and writes the audit line of those that change something.
func (s *Server) guarded(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.counts.add(e.Path)
		rc := http.NewResponseController(w)
		if !e.stream {
			_ = rc.SetWriteDeadline(time.Now().Add(answerTime)) // one that cannot do it has none
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		who := &caller{name: "anybody"}
		if e.Verb != "" {
			var err error
			if who, err = s.authenticate(r); err != nil {
				w.Header().Set("WWW-Authenticate", "Bearer")
				s.audit(e, r, "", http.StatusUnauthorized)
				writeError(w, http.StatusUnauthorized, "the caller is not known: send a token that the server knows, as Authorization: Bearer TOKEN")
				return
			}
			if stack := r.PathValue("stack"); !who.may(e.Verb, stack) {
				s.audit(e, r, who.name, http.StatusForbidden)
				writeError(w, http.StatusForbidden, fmt.Sprintf("%s may not %s%s", who.name, e.Verb, ofStack(stack)))
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		code, body, err := e.serve(s, &request{Request: r, w: w, who: who})
		if err != nil {
			code = codeOf(err)
			if e.Changes {
				s.audit(e, r, who.name, code)
			}
			writeError(w, code, err.Error())
			return
		}
		if e.Changes {
			s.audit(e, r, who.name, code)
		}
		if body != nil {
			writeJSON(w, code, body)
		}
	})
}

func ofStack(stack string) string {
	if stack == "" {
		return ""
	}
	return " the stack " + stack
}

// audit writes one line for each action, and for each call that was refused.
func (s *Server) audit(e endpoint, r *http.Request, who string, code int) {
	s.options.Log.Info("audit", "action", e.Name, "verb", e.Verb, "who", who, "from", from(r), "stack", r.PathValue("stack"), "code", code)
}

// from says where a caller is.
func from(r *http.Request) string {
	if r.Context().Value(ownerKey{}) != nil {
		return "the server's socket"
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// request is one call of an endpoint.
type request struct {
	*http.Request
	w   http.ResponseWriter
	who *caller
}

// read reads the body of a call. An empty one is fine.
func (r *request) read(into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return &badRequest{"the body cannot be read: " + err.Error()}
	}
	return nil
}

type badRequest struct{ what string }

func (e *badRequest) Error() string { return e.what }

// codeOf returns the HTTP status of an error.
func codeOf(err error) int {
	var missing *reconcile.NotFoundError
	var conflict *reconcile.ConflictError
	var bad *badRequest
	switch {
	case errors.As(err, &missing):
		return http.StatusNotFound
	case errors.As(err, &conflict):
		return http.StatusConflict
	case errors.As(err, &bad):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// Problem is the body of each answer that is an error.
type Problem struct {
	Error string `json:"error"`
}

func writeError(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, Problem{strings.TrimSpace(text)})
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the caller has gone
}
