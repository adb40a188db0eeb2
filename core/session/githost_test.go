package session

import (
	"os"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
)

// The token without a host is for the only Git host that the stack has.
func TestTheOnlyGitHostOfAStack(t *testing.T) {
	t.Setenv(GitHostVariable, "")
	values := map[string]cty.Value{"base": cty.StringVal("https://git.example.com/acme"), "secret": cty.StringVal("https://x.example.com/a").Mark(eval.Sensitive)}
	source := func(name, url string) string { return "source \"git\" \"" + name + "\" {\n  url = " + url + "\n}\n" }
	for text, want := range map[string]string{
		"": "",
		source("a", `"https://Git.Example.com/a.git"`):                                                                              "git.example.com",
		source("a", `"https://git.example.com:443/a.git"`) + source("b", `"HTTPS://git.example.com/b.git"`):                         "git.example.com",
		source("a", `"https://git.example.com:8443/a.git"`):                                                                         "git.example.com:8443",
		source("a", `"https://git.example.com/a.git"`) + source("b", `"https://other.example.com/b.git"`):                           "",
		source("a", `"https://git.example.com/a.git"`) + source("b", `"ssh://git@other.example.com/b.git"`) + source("c", `"./c"`):  "git.example.com",
		source("a", `"${var.base}/a.git"`) + source("b", `"https://git.example.com/${local.b}"`):                                    "git.example.com",
		source("a", `"https://git.example.com/a.git"`) + source("b", `local.url`):                                                   "",
		source("a", `"https://git.${local.domain}/a.git"`):                                                                          "",
		source("a", `"https://git.example.com"`) + source("b", `"https://git.example.com${local.rest}"`):                            "",
		source("a", `"https://git.example.com/a.git"`) + source("b", `file("url")`):                                                 "",
		source("a", `"https://git.example.com/a.git"`) + source("b", `var.secret`):                                                  "",
		source("a", `"https://git.example.com/a.git"`) + "module \"m\" {\n  source = \"git::https://other.example.com/m.git\"\n}\n": "",
		source("a", `"https://git.example.com/a.git"`) + "module \"m\" {\n  source = \"git::https://git.example.com/m.git\"\n}\n":   "git.example.com",
	} {
		stack, diags := config.Parse(t.TempDir(), map[string][]byte{"davit.hcl": []byte(text)})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if got := strings.TrimPrefix(strings.Join(GitHostOf(stack, values, os.Getenv(GitHostVariable)), " "), GitHostVariable+"="); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	t.Setenv(GitHostVariable, "git.example.com")
	stack, _ := config.Parse(t.TempDir(), map[string][]byte{"davit.hcl": []byte(source("a", `"https://other.example.com/a.git"`))})
	if got := GitHostOf(stack, values, os.Getenv(GitHostVariable)); got != nil {
		t.Errorf("a person has said it: %v", got)
	}
}
