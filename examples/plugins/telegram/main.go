// Command davit-telegram is a davit plugin: a notification that tells a Telegram chat what davit has done.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/davit-sh/davit/sdk"
)

const version = "1.0.0"

type config struct {
	Chat   string `davit:"chat" doc:"The chat: its number, or @name of a channel."`
	Token  string `davit:"token,sensitive" doc:"Token of the bot, from @BotFather. The bot must be a member of the chat."`
	Silent bool   `davit:"silent,optional" default:"false" doc:"Send without a sound. What has failed always makes one."`
	API    string `davit:"api,optional" default:"https://api.telegram.org" doc:"Another server that speaks the Bot API."`
}

// telegram passes events on as messages.
type telegram struct{ client *http.Client }

// Validate looks at the configuration without asking Telegram.
func (telegram) Validate(_ context.Context, c config) error {
	if c.Chat == "" {
		return sdk.Errorf(sdk.At("chat"), "name the chat: its number, or @name of a channel")
	}
	if u, err := url.Parse(c.API); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return sdk.Errorf(sdk.At("api"), "this is not the URL of a server")
	}
	if strings.ContainsAny(c.Token, "/?# \n") || c.Token == "" {
		return sdk.Errorf(sdk.At("token"), "this is not a token of a bot")
	}
	return nil
}

// Notify sends one message. davit tells an event again when this fails.
func (t telegram) Notify(ctx context.Context, c config, e sdk.Event) error {
	body, err := json.Marshal(map[string]any{
		"chat_id": c.Chat, "text": message(e), "disable_notification": c.Silent && e.Name != sdk.EventFailed,
	})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.API, "/")+"/bot"+c.Token+"/sendMessage", bytes.NewReader(body))
	if err != nil {
		return errors.New("the address of the server and the token do not make a URL")
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := t.client.Do(r)
	if err != nil {
		// The error of the HTTP client has the URL in it, and that has the token.
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("Telegram cannot be reached: %w", err) //nolint:staticcheck // a name
	}
	defer res.Body.Close()
	return answer(res)
}

// answer reads what the server says.
func answer(res *http.Response) error {
	var a struct {
		OK          bool   `json:"ok"`
		Description string `json:"description"`
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return sdk.Errorf(sdk.At("token"), "Telegram does not know the token")
	case res.StatusCode == http.StatusBadRequest && strings.Contains(a.Description, "chat"):
		return sdk.Errorf(sdk.At("chat"), "Telegram says: %s", a.Description)
	case err != nil || !a.OK:
		return fmt.Errorf("Telegram answered %s: %s", res.Status, a.Description) //nolint:staticcheck // a name
	}
	return nil
}

// longest is how many characters a message may have.
const longest = 4096

var signs = map[string]string{sdk.EventPlanned: "▶️", sdk.EventApplied: "✅", sdk.EventFailed: "❌"}

// message is an event for people.
func message(e sdk.Event) string {
	lines := []string{strings.TrimSpace(fmt.Sprintf("%s %s: %s (%s)", signs[e.Name], e.Stack, e.Summary, e.Who))}
	for _, c := range e.Changes {
		line := fmt.Sprintf("• %s: %s", c.Address, c.Action)
		if c.Outcome == "failed" || c.Outcome == "not_started" {
			line += ", " + strings.ReplaceAll(c.Outcome, "_", " ")
		}
		if c.Error != "" {
			line += ": " + c.Error
		}
		lines = append(lines, line)
		for _, i := range c.Images {
			lines = append(lines, fmt.Sprintf("   %s → %s", i.Before, i.After))
		}
	}
	return cut(lines, longest)
}

// cut leaves the last lines out when there are too many, and says so.
func cut(lines []string, most int) string {
	for n := len(lines); n > 0; n-- {
		text := strings.Join(lines[:n], "\n")
		if left := len(lines) - n; left > 0 {
			text += fmt.Sprintf("\n… and %d more lines", left)
		}
		if utf8.RuneCountInString(text) <= most {
			return text
		}
	}
	return string([]rune(lines[0])[:most])
}

func main() {
	sdk.Serve(sdk.New("telegram", version, sdk.Notification("telegram", telegram{&http.Client{Timeout: 10 * time.Second}},
		sdk.Description("Tells a Telegram chat what davit plans and has done."))))
}
