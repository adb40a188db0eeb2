package state_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// server is the address of the place's server.
func (p place) server(t testing.TB) *url.URL {
	t.Helper()
	text := l.APIServer.URL
	if p.s3 != nil {
		text = l.S3.URL
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// through is the same place, reached by another address.
func (p place) through(t testing.TB, address string) place {
	t.Helper()
	if p.s3 != nil {
		c := *p.s3
		c.Endpoint = address
		p.s3 = &c
		return p
	}
	c := *p.kubernetes
	text, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, []byte(strings.ReplaceAll(string(text), l.APIServer.URL, address)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.kubernetes = &c
	return p
}

// network is a bad connection to a server, made of toxics.
type network struct {
	proxy *toxiproxy.Proxy
	n     int
}

func (p place) overNetwork(t *testing.T) (place, *network) {
	t.Helper()
	u := p.server(t)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, fresh("proxy"), "127.0.0.1:0", u.Host)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return p.through(t, u.Scheme+"://"+proxy.Listen), &network{proxy: proxy}
}

// add makes the connection worse, until the returned function is called.
func (n *network) add(t testing.TB, kind, stream, attributes string) (remove func()) {
	t.Helper()
	n.n++
	name := fmt.Sprintf("toxic%d", n.n)
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, name, kind, stream, attributes)))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := n.proxy.Toxics.RemoveToxic(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

// cable passes connections on, and can be made to keep those that there are open with nothing on them any more.
type cable struct {
	mu    sync.Mutex
	ends  []*atomic.Bool
	conns []net.Conn
	made  int
	still int // how many of the next connections are half open from the beginning
}

func (p place) overCable(t *testing.T) (place, *cable) {
	t.Helper()
	u := p.server(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{}
	t.Cleanup(func() {
		_ = listener.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
	})
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", u.Host)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.connect(in, out)
		}
	}()
	return p.through(t, u.Scheme+"://"+listener.Addr().String()), c
}

func (c *cable) connect(in, out net.Conn) {
	dead := &atomic.Bool{}
	c.mu.Lock()
	c.ends, c.conns, c.made = append(c.ends, dead), append(c.conns, in, out), c.made+1
	if c.still > 0 {
		c.still--
		dead.Store(true)
	}
	c.mu.Unlock()
	pass := func(from, to net.Conn, answers bool) {
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if answers && dead.Load() {
				_, _ = io.Copy(io.Discard, from) // what was asked may still arrive; nothing comes back
				return
			}
			if err != nil {
				if !dead.Load() {
					_ = to.Close()
				}
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go pass(in, out, false)
	go pass(out, in, true)
}

// die leaves all connections half open, and the next one as well. Those after it are well.
func (c *cable) die() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, dead := range c.ends {
		dead.Store(true)
	}
	c.still = 1
}

// middle is an HTTP proxy that counts requests and can answer in the server's place.
type middle struct {
	mu       sync.Mutex
	requests []string
	refuse   func(r *http.Request) int // a status, or 0 to pass the request on
}

// overMiddle is a place behind such a proxy. Who asks Kubernetes there does so by a token.
func (p place) overMiddle(t *testing.T) (place, *middle) {
	t.Helper()
	u := p.server(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	if p.kubernetes != nil {
		ca, err := os.ReadFile(l.APIServer.CA)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	m := &middle{}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests = append(m.requests, r.Method+" "+r.URL.Path)
		refuse := m.refuse
		m.mu.Unlock()
		if refuse != nil {
			if status := refuse(r); status > 0 {
				w.WriteHeader(status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	if p.kubernetes == nil {
		server.Start()
		return p.through(t, server.URL), m
	}
	server.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p.withToken(t, serviceAccount(t, true), server.URL, ca), m
}

func (m *middle) set(refuse func(r *http.Request) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = refuse
}

// count returns how many requests there were since it was last asked, without those that only show the lease to people.
func (m *middle) count() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.requests {
		if !strings.Contains(r, "/leases") {
			n++
		}
	}
	m.requests = nil
	return n
}
