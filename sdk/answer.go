package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	unicodeutf8 "unicode/utf8"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
)

var protoActions = map[Action]pluginv1.Action{
	ActionNone: pluginv1.Action_ACTION_NONE, ActionCreate: pluginv1.Action_ACTION_CREATE, ActionUpdate: pluginv1.Action_ACTION_UPDATE,
	ActionReplace: pluginv1.Action_ACTION_REPLACE, ActionDelete: pluginv1.Action_ACTION_DELETE, ActionBuild: pluginv1.Action_ACTION_BUILD,
	ActionAdopt: pluginv1.Action_ACTION_ADOPT, ActionForget: pluginv1.Action_ACTION_FORGET,
}

// actionOf returns "" for an unknown action.
func actionOf(p pluginv1.Action) Action {
	for a, x := range protoActions {
		if x == p {
			return a
		}
	}
	return ""
}

// protoResult turns the answer of a plugin's method into the protocol's form.
func (t *typeInfo) protoResult(c *planCall) (*pluginv1.PlanResult, error) {
	action, ok := protoActions[c.result.Action]
	if !ok {
		return nil, fmt.Errorf("the plugin answered with the action %q, which does not exist", c.result.Action)
	}
	if c.result.Action == ActionForget && !c.destroy {
		return nil, errors.New("the plugin answered with the action \"forget\", which is for deletions only")
	}
	res := &pluginv1.PlanResult{Action: action, Reasons: clean(c.result.Reasons), Private: c.result.Private}
	var err error
	if res.Causes, err = protoCauses(c.result.Causes); err != nil {
		return nil, fmt.Errorf("the plugin answered with %w", err)
	}
	if res.Claims, err = protoClaims(c.result.Claims); err != nil {
		return nil, fmt.Errorf("the plugin answered with %w", err)
	}
	for i := range c.result.Items {
		item, err := protoItem(&c.result.Items[i])
		if err != nil {
			return nil, fmt.Errorf("the plugin answered with an item %q that cannot be sent: %w", c.result.Items[i].Key, err)
		}
		res.Items = append(res.Items, item)
	}
	for _, i := range c.result.Images {
		after := i.After.OrZero()
		if i.After.IsUnknown() {
			after = i.After.Prefix()
		}
		res.Images = append(res.Images, &pluginv1.Image{Name: utf8(i.Name), Before: utf8(i.Before), After: utf8(after), Unknown: i.After.IsUnknown()})
	}
	if c.answer != nil {
		res.Decision = protoDecision(c.answer)
		return res, nil
	}
	res.Outputs, err = t.outputs.write(c.outputs)
	return res, err
}

// protoCauses refuses causes that are not in the closed list, and drops repetitions.
func protoCauses(list []Cause) ([]string, error) {
	var out []string
	for _, c := range list {
		if !slices.Contains(causes, c) {
			return nil, fmt.Errorf("the cause %q, which does not exist", c)
		}
		if !slices.Contains(out, string(c)) {
			out = append(out, string(c))
		}
	}
	return out, nil
}

// protoClaims refuses claims that are empty, repeated or not UTF-8: replaced bytes would make two claims equal.
func protoClaims(list []Claim) ([]string, error) {
	out := make([]string, 0, len(list))
	seen := make(map[Claim]bool, len(list))
	for _, c := range list {
		switch {
		case c == "" || !unicodeutf8.ValidString(string(c)):
			return nil, fmt.Errorf("the claim %q, which is not a key", c)
		case seen[c]:
			return nil, fmt.Errorf("the claim %q twice", c)
		}
		seen[c] = true
		out = append(out, string(c))
	}
	return out, nil
}

func protoDecision(d *Decision) *pluginv1.Decision {
	out := &pluginv1.Decision{Ranked: clean(d.Ranked), Reason: utf8(d.Reason), LookAt: clean(d.LookAt)}
	for _, x := range d.Rejected {
		out.Rejected = append(out.Rejected, &pluginv1.Rejection{Tag: utf8(x.Tag), Reason: utf8(x.Reason)})
	}
	return out
}

func clean(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, utf8(s))
	}
	return out
}

func protoItem(i *Item) (*pluginv1.Item, error) {
	action, ok := protoActions[i.Action]
	switch {
	case i.Action == "": // found rather than changed: a commit
		action = pluginv1.Action_ACTION_NONE
	case !ok:
		return nil, fmt.Errorf("the action %q does not exist", i.Action)
	}
	out := &pluginv1.Item{Key: utf8(i.Key), Kind: utf8(i.Kind), Name: utf8(i.Name), Action: action, Note: utf8(i.Note), Claim: string(i.Claim)}
	if !unicodeutf8.ValidString(out.Claim) {
		return nil, fmt.Errorf("the claim %q is not a key", i.Claim)
	}
	var err error
	if out.Causes, err = protoCauses(i.Causes); err != nil {
		return nil, err
	}
	for _, f := range i.Fields {
		field, err := protoField(f)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Path, err)
		}
		out.Fields = append(out.Fields, field)
	}
	return out, nil
}

// mask is the text that replaces a sensitive value in an answer.
const mask = `"(sensitive)"`

func protoField(f Field) (*pluginv1.Field, error) {
	out := &pluginv1.Field{Path: utf8(f.Path), Unknown: f.Unknown, Sensitive: f.Sensitive}
	if f.Sensitive {
		out.Before, out.After = masked(f.Before), masked(f.After)
		return out, nil
	}
	out.Prefix = utf8(f.Prefix)
	var err error
	if out.Before, err = fieldJSON(f.Before); err != nil {
		return nil, err
	}
	if f.Unknown {
		return out, nil
	}
	out.After, err = fieldJSON(f.After)
	return out, err
}

func masked(v any) string {
	if v == nil {
		return ""
	}
	return mask
}

// fieldJSON writes a value as JSON, "" when it is absent. Text stays readable: davit looks for secrets in it.
func fieldJSON(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// maxLine is the length in bytes of the longest log line that is sent whole.
const maxLine = 64 << 10

func line(s string) string {
	if len(s) > maxLine {
		s = s[:maxLine] + "..."
	}
	return utf8(s)
}

// room is the number of bytes reserved for the messages around an answer.
const room = 64 << 10

// tooLarge returns an error for a message larger than gRPC's limit, which would end the stream for all instances.
func tooLarge(m proto.Message) error {
	if n := proto.Size(m); n > handshake.MaxMessage-room {
		return &Error{
			Summary: fmt.Sprintf("the plugin's answer is too large to send: %d MB, and the limit is %d MB", n>>20, handshake.MaxMessage>>20),
			Code:    "plugin.too-large", Hint: "Split the block into several.",
		}
	}
	return nil
}
