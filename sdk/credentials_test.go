package sdk_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

// A secret is not shown by accident, and goes to its own host.
func TestCredentialsHideTheirSecret(t *testing.T) {
	list := sdk.Credentials{{Host: "git.example.com", Username: "ci", Secret: "hunter2"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, sdk.Host{Credentials: list}); strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("%s shows %s", verb, text)
		}
	}
	if text, err := json.Marshal(list); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("JSON shows %s, %v", text, err)
	}
	if c, ok := list.For("Git.Example.com"); !ok || c.Secret != "hunter2" || c.Username != "ci" {
		t.Errorf("%v, %v", c, ok)
	}
	for _, other := range []string{"", "example.com", "git.example.com:8443", "git.example.com.evil.org"} {
		if c, ok := list.For(other); ok {
			t.Errorf("%q is given %v", other, c)
		}
	}
}
