package plugintest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/pluginhost"
)

// The test binary is also the plugin under test, the host that is killed, and what a bad plugin leaves behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "as-plugin":
			servePlugin(os.Args[2], os.Args[3])
			return
		case "as-host":
			o := Options{Executable: pluginUnderTest(os.Args[2], os.Args[3])}
			if err := HostToKill(context.Background(), o, os.Stdin, os.Stdout); err != nil {
				panic(err)
			}
			return
		}
	}
	if len(os.Args) == 2 && os.Args[1] == "as-sleeper" {
		time.Sleep(time.Minute)
		return
	}
	os.Exit(m.Run())
}

func pluginUnderTest(mode, kinds string) pluginhost.Executable {
	return pluginhost.Executable{Path: os.Args[0], Args: []string{"as-plugin", mode, kinds}}
}

const allKinds = "application,build,image,notification,policy,source"

// tried runs the suite on the plugin of a mode.
func tried(t *testing.T, mode, kinds, examples string) *Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "examples.hcl")
	if err := os.WriteFile(path, []byte(examples), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := LoadExamples(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{
		Executable: pluginUnderTest(mode, kinds), Examples: e, Version: "9.9",
		Host: pluginhost.Executable{Path: os.Args[0], Args: []string{"as-host", mode, kinds}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func examplesFor(kinds string) string {
	text := ""
	for k := range strings.SplitSeq(kinds, ",") {
		text += examplesOf[k]
	}
	return text
}

func TestAGoodPluginPasses(t *testing.T) {
	r := tried(t, "good", allKinds, examplesFor(allKinds))
	for _, c := range r.Checks {
		if c.Status == Failed {
			t.Errorf("%s %s: %s", c.Type, c.Check, c.Seen)
		}
	}
	var skipped []string
	for _, c := range r.Checks {
		if c.Status == DoesNotApply {
			if c.Seen == "" {
				t.Errorf("%s %s does not apply, and nothing says why", c.Type, c.Check)
			}
			skipped = append(skipped, c.Type+" "+c.Check)
		}
	}
	want := []string{
		"build.thing change", "build.thing cancel", "build.thing import", "build.thing error paths", "build.thing secrets",
		"application.thing watch", "build.thing watch", "image.thing watch", "image.thing error paths", "image.thing secrets", "policy.thing secrets",
	}
	slices.Sort(want)
	slices.Sort(skipped)
	if !slices.Equal(skipped, want) {
		t.Errorf("these do not apply: %q, want %q", skipped, want)
	}
}

// Each check is failed by a plugin that is bad in the way that it looks for, and by no other check.
func TestABadPluginFails(t *testing.T) {
	for _, test := range []struct {
		mode, kinds, check string
		says               string
	}{
		{"exits", "source", "start", "ended (exit status 3)"},
		{"has an odd version", "source", "describe", `its version is "latest"`},
		{"has a bad name", "source", "describe", `it is called "My Plugin"`},
		{"has no types", "source", "describe", "it has no types"},
		{"has a type twice", "source", "describe", "also provides"},
		{"is of no kind", "source", "describe", `of the unknown kind "gizmo"`},
		{"breaks its kind's promise", "source", "describe", `lacks the output "revision"`},
		{"has a bad type", "source", "describe", `attribute "text": type`},
		{"has a bad default", "source", "describe", `attribute "text": default`},
		{"describes itself by mood", "source", "describe", "when it was asked again"},
		{"describes itself by process", "source", "describe", "in another process"},
		{"knows everything", "source", "unknown type", "returned no error"},
		{"dies of garbage", "source", "garbage", "ended (exit status 4)"},
		{"takes garbage", "source", "garbage", "returned no error"},
		{"is slow to cancel", "source", "cancel nothing", "did not answer in time"},
		{"prints", "source", "standard output", "the first: hello"},
		{"prints in Go", "source", "standard output", "the first: hello"},
		{"stays", "source", "end", "so it was killed (signal: killed)"},
		{"starts a daemon", "source", "killed host", "as-sleeper"},
		{"plans nothing", "source", "plan", "not specified"},
		{"changes what it observes", "source", "plan", "a source is planned with the action create"},
		{"sends other types", "source", "plan", "the outputs cannot be read"},
		{"sends no outputs", "source", "plan", "no outputs"},
		{"has items twice", "application", "plan", `the key "a.txt"`},
		{"has fields in no form", "application", "plan", "which is not JSON"},
		{"makes no decision", "policy", "plan", "no decision"},
		{"is random", "source", "plan again", "item 0"},
		{"must know", "source", "unknown values", "text not known: no"},
		{"does not look at the clock", "application", "too late", "start limit in 1970 was carried out"},
		{"is late all the same", "application", "too late", "the plan was create and is adopt"},
		{"fails", "application", "apply", "cannot be applied: no"},
		{"ends without a result", "application", "apply", "without a result"},
		{"applies something else", "application", "apply", "was planned as"},
		{"applies something else", "build", "apply", `begins with "r/x:1.0@sha256:"`},
		{"leaves outputs unknown", "build", "apply", "is still unknown"},
		{"is never content", "application", "empty plan", "the action is update"},
		{"sees nothing new", "application", "change", "the plan is empty"},
		{"deletes once", "application", "destroy", "a second time"},
		{"keeps what is to go", "application", "destroy", "planned with the action none"},
		{"ignores Cancel", "application", "cancel", "still ran"},
		{"imports nothing", "application", "import", "not known"},
		{"has no digests", "image", "resolve", "the digest of the tag"},
		{"has every tag", "image", "resolve", "not exist has the digest"},
		{"forgets a tag", "policy", "decide", "were ranked or rejected: 1.0.0, 1.1.0"},
		{"rejects without a reason", "policy", "decide", "without a reason"},
		{"chooses without a reason", "policy", "decide", "has no reason"},
		{"goes by the order", "policy", "decide", "in another order"},
		{"wants tags", "policy", "decide", "choosing from 0 tags: no"},
		{"invents a tag", "policy", "decide", "from an empty list of tags"},
		{"has no paths", "application", "error paths", "has no path"},
		{"has wrong paths", "application", "error paths", "which does not exist"},
		{"has no words", "application", "error paths", "has no summary"},
		{"takes 4 MB", "source", "16 MB value", "accepts at most 4194304 bytes"},
		{"mixes up", "source", "1,000 instances", "of 1000 instances 1 failed"},
		{"validates alone", "source", "concurrent calls", "I am busy"},
		{"leaks in a log", "source", "secrets", "a log line of Plan"},
		{"leaks in a reason", "source", "secrets", "in the plan"},
		{"leaks in an item", "source", "secrets", "in the plan"},
		{"leaks in private bytes", "application", "secrets", "the plan's private bytes"},
		{"leaks in an error", "source", "secrets", "in the plan"},
		{"leaks in base64", "source", "secrets", "as base64"},
		{"leaks in an output", "application", "secrets", `the output "revision"`},
		{"wants to know all events", "notification", "notify", "an unknown name: no"},
		{"hears things once", "notification", "notify", "the same event again: no"},
		{"leaks in Notify", "notification", "secrets", "in the answer of Notify"},
		{"has no paths", "notification", "error paths", "has no path"},
		{"takes 4 MB", "notification", "16 MB value", "accepts at most 4194304 bytes"},
		{"does not listen", "source", "watch", "ended by itself"},
		{"tells of another", "source", "watch", `"source.thing.other", which is not watched`},
		{"leaks in standard error", "source", "secrets", "standard error"},
	} {
		t.Run(test.mode+" "+test.kinds, func(t *testing.T) {
			t.Parallel()
			examples := examplesFor(test.kinds)
			if test.mode == "has no types" || test.mode == "is of no kind" || test.mode == "exits" {
				examples = ""
			}
			r := tried(t, test.mode, test.kinds, examples)
			found := false
			for _, c := range r.Checks {
				if c.Status != Failed {
					continue
				}
				if c.Check != test.check {
					t.Errorf("the check %q failed as well: %s", c.Check, c.Seen)
					continue
				}
				found = true
				if !strings.Contains(c.Seen, test.says) {
					t.Errorf("it saw %q, want %q", c.Seen, test.says)
				}
				if c.Mend == "" {
					t.Error("it does not say how to mend it")
				}
			}
			if !found {
				t.Errorf("the check %q did not fail", test.check)
			}
		})
	}
}
