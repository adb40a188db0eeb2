package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

// reBlock matches a fenced block of HCL. A comment before it has what the block needs besides: <!-- needs ... -->. Blocks with
// the name of a file are those of the tutorial, which its own test follows.
var reBlock = regexp.MustCompile("(?ms)(?:^<!-- needs\n(.*?)-->\n)?^```hcl\n(.*?)^```$")

// reIndented matches the first line of a block of the language that is not fenced, and so would not be tried.
var reIndented = regexp.MustCompile(`(?m)^    (davit|variable|locals|source|image|policy|build|application|notification|module|check|gate|moved|removed|import|output)( "[^"]*")* \{`)

// rePlugin matches a plugin in required_plugins.
var rePlugin = regexp.MustCompile(`(\w+)(\s*)= \{ source = "[^"]*"(?:, version = "[^"]*")?(?:, public_key = "[^"]*")?`)

// Each HCL block of each page is a stack, with what it needs, that davit validates and leaves formatted as it is.
func TestEveryBlockOfHCLIsValid(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../examples/plugins/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(append(pages, more...), "../README.md")
	davit := filepath.Join(t.TempDir(), "davit")
	if out, err := exec.Command("go", "build", "-o", davit, "../cmd/davit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tried := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if line := reIndented.Find(text); line != nil {
			t.Errorf("%s: %q is in no block that begins with ```hcl, so nothing tries it", page, line)
		}
		for i, m := range reBlock.FindAllStringSubmatch(string(text), -1) {
			tried++
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(filepath.Dir(page))+"/"+filepath.Base(page), i+1), func(t *testing.T) {
				validates(t, davit, m[1], m[2])
			})
		}
	}
	if tried < 12 {
		t.Errorf("only %d blocks were tried", tried)
	}
}

// validates writes a stack of a block and of what it needs, and has davit validate it.
func validates(t *testing.T, davit, needs, block string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // plugins are executable
			t.Fatal(err)
		}
	}
	local := func(text string) string { // plugins of registries are the one of this test
		return rePlugin.ReplaceAllStringFunc(text, func(s string) string {
			m := rePlugin.FindStringSubmatch(s)
			write("plugins/"+m[1], fmt.Sprintf("#!/bin/sh\nexec %q as-page-plugin %s\n", os.Args[0], m[1]))
			return fmt.Sprintf("%s%s= { source = %q", m[1], m[2], "./plugins/"+m[1])
		})
	}
	write("block.hcl", local(block))
	write("needs.hcl", local(needs))
	write("modules/shop/shop.hcl", `
variable "name" { default = "shop" }
source "git" "repo" { url = "https://git.example.com/acme/shop.git" }
application "kubernetes" "api" { source = source.git.repo }
output "url" { value = "https://${var.name}.example.com" }
`)
	write("kubeconfig", `{clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: none, context: {cluster: none}}], current-context: none}`)
	command := func(args ...string) {
		t.Helper()
		cmd := exec.Command(davit, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DAVIT_CACHE_DIR="+filepath.Join(dir, "cache"), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"),
			"AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none", "AWS_EC2_METADATA_DISABLED=true")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("davit %s: %v\n%s\n%s", strings.Join(args, " "), err, out, block)
		}
	}
	if !strings.Contains(block+needs, `state "`) || strings.Contains(block, "required_plugins") {
		command("init")
	}
	command("validate")
	command("fmt", "-check", "block.hcl")
}

type (
	pageNotification struct {
		Chat   string `davit:"chat"`
		Token  string `davit:"token,optional,sensitive"`
		Silent bool   `davit:"silent,optional"`
	}
	pageSource struct {
		URL  string `davit:"url"`
		File string `davit:"file,optional"`
	}
	pagePolicy struct {
		Format   string `davit:"format"`
		NotAfter string `davit:"not_after,optional"`
	}
)

type (
	notifies struct{}
	observes struct{}
	decides  struct{}
)

func (notifies) Notify(context.Context, pageNotification, sdk.Event) error { return nil }

func (observes) Observe(context.Context, sdk.ObserveRequest[pageSource, sdk.SourceOutputs]) (sdk.SourceOutputs, error) {
	return sdk.SourceOutputs{}, nil
}

func (decides) Decide(context.Context, sdk.DecideRequest[pagePolicy]) (sdk.Decision, error) {
	return sdk.Decision{}, nil
}

// pagePlugin has the types that the pages use and davit does not have, under the name that a page gives it.
func pagePlugin(name string) *sdk.Plugin {
	policy := name
	if name == "calver" { // which davit has a policy of itself
		policy = "calendar"
	}
	return sdk.New(name, "1.2.3", sdk.Notification(name, notifies{}), sdk.Source(name, observes{}), sdk.Policy(policy, decides{}))
}
