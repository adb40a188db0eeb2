package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

// server answers as Telegram does.
func server(t *testing.T, got *map[string]any) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/bot12:good/sendMessage":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"ok": false, "description": "Unauthorized"}`)
		case json.NewDecoder(r.Body).Decode(got) != nil || (*got)["chat_id"] == "@nobody":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"ok": false, "description": "Bad Request: chat not found"}`)
		default:
			fmt.Fprint(w, `{"ok": true}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

var finished = sdk.Event{
	ID: "1", Name: sdk.EventFailed, Stack: "shop", Who: "ci@runner", Summary: "1 done, 1 failed, 0 not started",
	Changes: []sdk.EventChange{
		{Address: "application.kubernetes.web", Action: sdk.ActionUpdate, Outcome: "failed", Error: "the rollout failed"},
		{Address: "application.kubernetes.api", Action: sdk.ActionUpdate, Outcome: "done", Images: []sdk.EventImage{{Name: "api", Before: "api:1.0.3", After: "api:1.0.4"}}},
	},
}

func TestNotify(t *testing.T) {
	var got map[string]any
	s := server(t, &got)
	n := telegram{s.Client()}
	if err := n.Notify(t.Context(), config{Chat: "@ops", Token: "12:good", API: s.URL + "/", Silent: true}, finished); err != nil {
		t.Fatal(err)
	}
	const want = `❌ shop: 1 done, 1 failed, 0 not started (ci@runner)
• application.kubernetes.web: update, failed: the rollout failed
• application.kubernetes.api: update
   api:1.0.3 → api:1.0.4`
	if got["text"] != want || got["chat_id"] != "@ops" || got["disable_notification"] != false {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		config config
		want   string
	}{
		{config{Chat: "@ops", Token: "12:stolen", API: s.URL}, "does not know the token"},
		{config{Chat: "@nobody", Token: "12:good", API: s.URL}, "chat not found"},
		{config{Chat: "@ops", Token: "12:good", API: "http://127.0.0.1:1"}, "cannot be reached"},
	} {
		err := n.Notify(t.Context(), c.config, finished)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.config.Token) {
			t.Errorf("%v, want %q and no token", err, c.want)
		}
	}
}

func TestLongMessages(t *testing.T) {
	e := finished
	for i := range 500 {
		e.Changes = append(e.Changes, sdk.EventChange{Address: fmt.Sprintf("application.kubernetes.number%d", i), Action: sdk.ActionCreate, Outcome: "done"})
	}
	text := message(e)
	if n := len([]rune(text)); n > longest || !strings.HasPrefix(text, "❌ shop") || !strings.Contains(text, "… and ") {
		t.Errorf("%d characters: %s", n, text)
	}
}

func TestValidate(t *testing.T) {
	good := config{Chat: "1", Token: "12:good", API: "https://api.telegram.org"}
	if err := (telegram{}).Validate(t.Context(), good); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*config){
		func(c *config) { c.Chat = "" }, func(c *config) { c.API = "ftp://x" }, func(c *config) { c.Token = "a/../b" },
	} {
		c := good
		change(&c)
		if err := (telegram{}).Validate(t.Context(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
