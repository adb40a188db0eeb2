package hooks

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve serves the hooks alone on a listener, until the context ends.
func (h *Handler) Serve(ctx context.Context, l net.Listener, secure *tls.Config) error {
	mux := http.NewServeMux()
	mux.Handle("/hooks/", h)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: bodyTime, ReadTimeout: 3 * bodyTime, WriteTimeout: 3 * bodyTime, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(h.options.Log.Handler(), slog.LevelDebug),
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	stopped := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stopped()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
