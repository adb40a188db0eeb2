package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/server"
	"github.com/davit-sh/davit/core/server/client"
	"github.com/davit-sh/davit/state"
)

// loop is a loop of one stack that remembers what was ordered.
type loop struct {
	mu     sync.Mutex
	called []string
	events chan reconcile.Event
}

const app = `application.kubernetes.shop["a/b"]`

func (l *loop) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.called = append(l.called, fmt.Sprintf(format, args...))
}

func (l *loop) stack() status.Stack {
	tags := 3
	now := time.Now().UTC()
	return status.Stack{
		Name: "shop", Source: "/x", Phase: status.Idle, Ready: true, Revision: "sha256:00", Interval: time.Minute, Lease: &status.Lease{Who: "x", What: "davit serve", Own: true, Since: now},
		Last: &status.Pass{Number: 1, Begun: now, Triggers: []string{"start"}}, Orders: []status.Order{{Token: "t", Verb: "sync", State: status.OrderDone}},
		Instances: []status.Instance{
			{Address: "image.registry.api", Kind: "image", Type: "registry", State: status.OK, Tags: &tags, Looked: now},
			{Address: app, Kind: "application", Type: "kubernetes", State: status.Waiting, Wait: &status.Wait{Digest: "sha256:1", Since: now, Action: "update",
				For: []plan.Wait{{What: plan.WaitApproval, Gate: "prod", Causes: []plan.Cause{plan.CauseImage}}}}, Backoff: &status.Backoff{Next: now}, Running: &status.Running{Since: now}, Change: &status.Change{At: now}},
		},
	}
}

func (l *loop) Stacks() []status.Stack {
	s := l.stack()
	s.Instances = nil
	return []status.Stack{s}
}

func (l *loop) Stack(name string) (status.Stack, error) {
	if name != "shop" {
		return status.Stack{}, &reconcile.NotFoundError{What: "there is no stack " + name}
	}
	return l.stack(), nil
}

func (l *loop) Plan(context.Context, string) (*plan.Plan, error) {
	return &plan.Plan{Format: plan.Format, Mode: plan.ModeApply, Changes: []plan.Change{{Address: app}}, Observations: []plan.Observation{}}, nil
}

func (l *loop) History(_ context.Context, _, address string) ([]state.Revision, error) {
	l.note("history %s", address)
	return []state.Revision{{Number: 1, Who: "x", Record: state.Record{Address: address}}}, nil
}

func (l *loop) Sync(stack, address, who string) (status.Order, error) {
	l.note("sync %s %s by %s", stack, address, who)
	return status.Order{Token: "t", Verb: "sync", Who: who, State: status.OrderQueued}, nil
}

func (l *loop) Order(_, token string) (status.Order, error) {
	return status.Order{Token: token, State: status.OrderDone}, nil
}

func (l *loop) Approve(_ context.Context, stack string, v reconcile.Verdict) (status.Order, error) {
	l.note("approve %s %s %s by %s from %s", stack, v.Address, v.Digest, v.Who, v.Where)
	if v.Digest == "sha256:2" {
		return status.Order{}, &reconcile.ConflictError{What: "another change"}
	}
	return status.Order{Token: "t"}, nil
}

func (l *loop) Reject(_ context.Context, stack string, v reconcile.Verdict) (status.Order, error) {
	l.note("reject %s %s by %s", stack, v.Address, v.Who)
	return status.Order{Token: "t"}, nil
}

func (l *loop) Rollback(stack, address string, revision uint64, _ string, by reconcile.Verdict) (status.Order, error) {
	l.note("rollback %s %s %d by %s", stack, address, revision, by.Who)
	return status.Order{Token: "t"}, nil
}

func (l *loop) Release(stack, address, who string) (status.Order, error) {
	l.note("release %s %s by %s", stack, address, who)
	return status.Order{Token: "t"}, nil
}

func (l *loop) Suspend(_ context.Context, stack, who string) error {
	l.note("suspend %s by %s", stack, who)
	return nil
}

func (l *loop) Resume(_ context.Context, stack string) error {
	l.note("resume %s", stack)
	return nil
}

func (l *loop) Subscribe(ctx context.Context, _ string) <-chan reconcile.Event {
	out := make(chan reconcile.Event)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-l.events:
				out <- e
			}
		}
	}()
	return out
}

func (l *loop) Totals() map[string]reconcile.Totals {
	return map[string]reconcile.Totals{"shop": {Passes: 7, PlanSeconds: 1.5}}
}

// rig is a server with a caller for each verb, who has only this verb, one with none, and one for another stack.
type rig struct {
	*loop
	url    string
	server *server.Server
	log    *bytes.Buffer
}

func tokenFile(t *testing.T, entries ...map[string]any) string {
	t.Helper()
	for _, e := range entries {
		sum := sha256.Sum256([]byte("token of " + e["name"].(string)))
		e["sha256"] = hex.EncodeToString(sum[:])
	}
	text, err := json.Marshal(map[string]any{"tokens": entries})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokens.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newRig(t *testing.T) *rig {
	t.Helper()
	entries := []map[string]any{{"name": "none"}, {"name": "all", "role": "admin"}, {"name": "other", "role": "admin", "stacks": []string{"other"}}}
	for _, v := range server.Verbs() {
		entries = append(entries, map[string]any{"name": v, "verbs": []string{v}})
	}
	tokens, err := server.ReadTokens(tokenFile(t, entries...))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{loop: &loop{events: make(chan reconcile.Event)}, log: &bytes.Buffer{}}
	r.server = server.New(server.Options{Loop: r.loop, Version: "1.2.3", Tokens: tokens, Log: slog.New(slog.NewJSONHandler(r.log, nil))})
	srv := httptest.NewServer(r.server)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

// call calls an endpoint of the table as somebody, "" is nobody.
func (r *rig) call(t *testing.T, row server.Row, who, body string) (int, string) {
	t.Helper()
	path := strings.NewReplacer("{stack}", "shop", "{address}", "application.kubernetes.shop%5B%22a%2Fb%22%5D", "{token}", "t").Replace(row.Path)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, row.Method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer token of "+who)
	}
	req.Header.Set(server.UserHeader, "somebody else")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if row.Stream && res.StatusCode == http.StatusOK {
		return res.StatusCode, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func bodyOf(row server.Row) string {
	switch row.Body.(type) {
	case server.VerdictBody, server.RollbackBody, server.ReleaseBody:
		return `{"address":"x"}`
	case server.SyncBody:
		return `{}`
	}
	return ""
}

// Each endpoint refuses every caller that does not have its verb, and lets the one in that has only this verb.
func TestEachEndpointNeedsItsVerb(t *testing.T) {
	r := newRig(t)
	for _, row := range server.Rows() {
		if row.Verb == "" {
			if code, _ := r.call(t, row, "", ""); code != http.StatusOK {
				t.Errorf("%s: %d for anybody", row.Name, code)
			}
			continue
		}
		if !slices.Contains(server.Verbs(), row.Verb) {
			t.Errorf("%s has the verb %q", row.Name, row.Verb)
		}
		for _, who := range []string{"", "nobody that the server knows"} {
			if code, text := r.call(t, row, who, bodyOf(row)); code != http.StatusUnauthorized || !strings.Contains(text, "token") {
				t.Errorf("%s by %q: %d %s", row.Name, who, code, text)
			}
		}
		for _, who := range append(server.Verbs(), "none") {
			before := len(r.called)
			code, text := r.call(t, row, who, bodyOf(row))
			switch {
			case who == row.Verb && code >= 300:
				t.Errorf("%s by %s, who has only this verb: %d %s", row.Name, who, code, text)
			case who != row.Verb && (code != http.StatusForbidden || len(r.called) != before):
				t.Errorf("%s needs %s, and the caller has only %s: %d %s", row.Name, row.Verb, who, code, text)
			}
		}
		if code, text := r.call(t, row, "other", bodyOf(row)); strings.Contains(row.Path, "{stack}") && code != http.StatusForbidden {
			t.Errorf("%s by a caller for another stack: %d %s", row.Name, code, text)
		}
		if row.Method != "GET" && row.Verb == server.Get || row.Changes && (row.Verb == server.Get || row.Verb == server.Plan) {
			t.Errorf("%s changes something and needs only %q", row.Name, row.Verb)
		}
	}
	if code, text := r.call(t, server.Rows()[0], "other", ""); code != http.StatusOK || strings.Contains(text, "shop") {
		t.Errorf("a caller for another stack sees %s", text)
	}
	for _, c := range r.called {
		if strings.Contains(c, "somebody else") {
			t.Errorf("the name of a caller was believed over the network: %s", c)
		}
	}
	for _, want := range []string{`"action":"approve","verb":"approve","who":"approve"`, `"action":"sync","verb":"sync","who":"none"`, `"code":403`, `"code":401`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the audit log has no %s", want)
		}
	}
}

// What is answered is what the OpenAPI document says.
func TestAnswersFollowTheDocument(t *testing.T) {
	r := newRig(t)
	text, err := json.Marshal(server.Document("1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("https://davit.test/api.json", document); err != nil {
		t.Fatal(err)
	}
	paths := document.(map[string]any)["paths"].(map[string]any)
	rows := 0
	for _, row := range server.Rows() {
		op, there := paths[row.Path].(map[string]any)[strings.ToLower(row.Method)].(map[string]any)
		if !there || op["operationId"] != row.Name {
			t.Errorf("%s is not in the document", row.Name)
			continue
		}
		rows++
		answer := op["responses"].(map[string]any)["2XX"].(map[string]any)
		content, _ := answer["content"].(map[string]any)
		schema, _ := content["application/json"].(map[string]any)
		if schema == nil {
			continue
		}
		ref := schema["schema"].(map[string]any)["$ref"].(string)
		compiled, err := compiler.Compile("https://davit.test/api.json" + ref)
		if err != nil {
			t.Fatal(err)
		}
		code, got := r.call(t, row, "all", bodyOf(row))
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
		if err != nil || code >= 300 {
			t.Errorf("%s: %d %v %s", row.Name, code, err, got)
			continue
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
	}
	if rows != len(server.Rows()) {
		t.Errorf("%d of %d endpoints are in the document", rows, len(server.Rows()))
	}
	var served map[string]any
	for _, row := range server.Rows() {
		if row.Name == "openapi" {
			_, got := r.call(t, row, "all", "")
			if err := json.Unmarshal([]byte(got), &served); err != nil || served["openapi"] != "3.1.0" {
				t.Errorf("the document is served as %.100s", got)
			}
		}
	}
}

func row(name string) server.Row {
	return server.Rows()[slices.IndexFunc(server.Rows(), func(r server.Row) bool { return r.Name == name })]
}

// What cannot be is refused with the right code, and too much is not read.
func TestBadCalls(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		endpoint, body string
		code           int
		says           string
	}{
		"no address":    {"approve", "", 400, "address is missing"},
		"no JSON":       {"approve", "{", 400, "cannot be read"},
		"unknown field": {"sync", `{"place":"x"}`, 400, "unknown field"},
		"too much":      {"sync", `{"address":"` + strings.Repeat("x", 2<<20) + `"}`, 400, "too large"},
		"another one":   {"approve", `{"address":"x","change_digest":"sha256:2"}`, 409, "another change"},
	} {
		if code, text := r.call(t, row(c.endpoint), "all", c.body); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	missing := row("getStack")
	missing.Path = "/api/v1/stacks/nosuch"
	if code, text := r.call(t, missing, "all", ""); code != 404 || !strings.Contains(text, "there is no stack nosuch") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := r.call(t, row("metrics"), "all", ""); code != 200 || !strings.Contains(text, `davit_reconciles_total{stack="shop"} 7`) || !strings.Contains(text, `davit_info{version="1.2.3"} 1`) {
		t.Errorf("%d %s", code, text)
	}
}

// A token file that says something strange is refused, and one that changes is read again.
func TestTokens(t *testing.T) {
	for name, c := range map[string]struct {
		text, says string
		mode       os.FileMode
	}{
		"no hash":      {`{"tokens":[{"name":"a","sha256":"12"}]}`, "SHA-256", 0o600},
		"no name":      {`{"tokens":[{"sha256":"` + strings.Repeat("00", 32) + `"}]}`, "a name of its own", 0o600},
		"unknown role": {`{"tokens":[{"name":"a","role":"king","sha256":"` + strings.Repeat("00", 32) + `"}]}`, "the role \"king\"", 0o600},
		"unknown verb": {`{"tokens":[{"name":"a","verbs":["rule"],"sha256":"` + strings.Repeat("00", 32) + `"}]}`, "the verb \"rule\"", 0o600},
		"for all":      {`{"tokens":[]}`, "may be written by others", 0o666},
	} {
		path := filepath.Join(t.TempDir(), "tokens.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := server.ReadTokens(path); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := tokenFile(t, map[string]any{"name": "a", "role": "viewer"})
	tokens, err := server.ReadTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server.New(server.Options{Loop: &loop{}, Tokens: tokens}))
	defer srv.Close()
	c, err := client.New(srv.URL, "token of b", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stacks(t.Context()); err == nil || !strings.Contains(err.Error(), "the caller is not known") {
		t.Errorf("%v", err)
	}
	text, err := os.ReadFile(tokenFile(t, map[string]any{"name": "a", "role": "viewer"}, map[string]any{"name": "b", "role": "viewer"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stacks(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}

// Over a Unix socket the owner may do everything, under the name that the client says; events arrive as they happen.
func TestUnixSocket(t *testing.T) {
	l := &loop{events: make(chan reconcile.Event)}
	dir, err := os.MkdirTemp("", "davit") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.New(server.Options{Loop: l}).Serve(ctx, listener, nil) }()
	c, err := client.New("unix:"+path, "", "ann@desk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decide(ctx, "approve", "shop", app, "sha256:1"); err != nil {
		t.Fatal(err)
	}
	if want := "approve shop " + app + " sha256:1 by ann@desk from the server's socket"; !slices.Contains(l.called, want) {
		t.Errorf("called: %q", l.called)
	}
	if o, err := c.Wait(ctx, "shop", "t"); err != nil || o.State != status.OrderDone {
		t.Errorf("%+v %v", o, err)
	}
	listening, end := context.WithCancel(ctx)
	got := make(chan reconcile.Event, 1)
	ended := make(chan error, 1)
	go func() { ended <- c.Listen(listening, "shop", func(e reconcile.Event) { got <- e }) }()
	l.events <- reconcile.Event{Stack: "shop", Event: event.Event{Type: event.Log, Message: "a line\nof two"}}
	if e := <-got; e.Message != "a line\nof two" || e.Stack != "shop" {
		t.Errorf("%+v", e)
	}
	end()
	<-ended
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A token is sent over TLS and to this machine only.
func TestClientKeepsItsToken(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://davit.example.com": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost:1": true, "http://davit.example.com": false,
		"davit.example.com": false, "ftp://x": false, "https://u:p@x": false,
	} {
		if _, err := client.New(address, "x", ""); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	leaked := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked <- r.Header.Get("Authorization") }))
	defer thief.Close()
	sends := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer sends.Close()
	c, err := client.New(sends.URL, "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stacks(t.Context()); err == nil {
		t.Error("a redirection is no answer")
	}
	select {
	case got := <-leaked:
		t.Errorf("the token went to %q", got)
	default:
	}
}
