package view_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/schemas"
)

var update = flag.Bool("update", false, "write the golden files again")

func value(t *testing.T, v cty.Value) *plan.Value {
	t.Helper()
	out, err := plan.NewValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func obj(kv ...string) cty.Value {
	m := map[string]cty.Value{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = cty.StringVal(kv[i+1])
	}
	return cty.ObjectVal(m)
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

const (
	oldDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	oldCommit = "3f2a1bc000000000000000000000000000000000"
	newCommit = "9e8d7c6000000000000000000000000000000000"
)

// release is a plan as a small cluster sees it most often: a commit, a build, a choice, a Deployment.
func release(t *testing.T) *plan.Plan {
	after := cty.ObjectVal(map[string]cty.Value{
		"repository": cty.StringVal("registry.example.com/api"), "tag": cty.StringVal("1.0.7"),
		"digest": cty.UnknownVal(cty.String),
	})
	image := plan.Field{Path: "spec.template.spec.containers[name=api].image", Before: raw("registry.example.com/api:1.0.5@" + oldDigest), Unknown: true, Prefix: "registry.example.com/api:1.0.7@sha256:"}
	return &plan.Plan{
		Observations: []plan.Observation{
			{Address: "source.git.repo", Kind: "source", Type: "git", Plugin: "git", Outputs: *value(t, obj("revision", newCommit)), Before: value(t, obj("revision", oldCommit)),
				Items: []plan.Item{{Key: newCommit, Kind: "commit", Name: "9e8d7c6", Action: plan.None, Note: "Greet @everyone, fixes #1 \x1b[31m"}}},
			{Address: "policy.semver.api", Kind: "policy", Type: "semver", Plugin: "registry", Reasons: []string{"1.0.7 is the highest of 3 tags in range >=1.0.0"},
				Outputs: *value(t, obj("tag", "1.0.7")), Before: value(t, obj("tag", "1.0.5"))},
		},
		Changes: []plan.Change{
			{Address: "build.buildx.api", Kind: "build", Type: "buildx", Plugin: "buildx", Action: plan.Build, Reasons: []string{"files changed: main.py"}, Before: value(t, obj("tag", "1.0.5")),
				After: value(t, after), Items: []plan.Item{{Key: "linux/amd64", Kind: "platform", Name: "linux/amd64", Action: plan.Build}}},
			{Address: "application.kubernetes.api", Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.Update, WaitsFor: []string{"build.buildx.api"}, Items: []plan.Item{
				{Key: "1", Kind: "Deployment", Name: "shop/api", Action: plan.Update, Fields: []plan.Field{image, {Path: "spec.replicas", Before: raw(1), After: raw(2)},
					{Path: "spec.template.spec.containers[name=api].args", After: raw([]string{"-v"})}, {Path: "metadata.labels.old", Before: raw("x")}}},
				{Key: "2", Kind: "Secret", Name: "shop/api", Action: plan.Update, Fields: []plan.Field{{Path: "data.password", Before: raw("(sensitive)"), After: raw("(sensitive)"), Sensitive: true}}},
				{Key: "3", Kind: "ConfigMap", Name: "shop/old", Action: plan.Delete},
			}},
			{Address: "application.kubernetes.web", Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.None},
		},
		Images: []plan.ImageChange{{Application: "application.kubernetes.api", Name: "Deployment/shop/api:api", Before: "registry.example.com/api:1.0.5@" + oldDigest, After: "registry.example.com/api:1.0.7@sha256:",
			Unknown: true, Build: "build.buildx.api", Source: "source.git.repo", From: oldCommit, To: newCommit, Commits: []plan.Commit{{ID: "9e8d7c6", Subject: "Greet @everyone, fixes #1 \x1b[31m"}}}},
		Outputs: []plan.Output{{Name: "version", Before: raw("1.0.5"), Value: raw("1.0.7")}},
	}
}

func deletion() *plan.Plan {
	return &plan.Plan{Mode: plan.ModeDestroy, Observations: []plan.Observation{}, Changes: []plan.Change{
		{Address: "application.kubernetes.api", Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.Delete,
			Items: []plan.Item{{Key: "1", Kind: "Deployment", Name: "shop/api", Action: plan.Delete}, {Key: "2", Kind: "Namespace", Name: "shop", Action: plan.Delete, Note: "made by davit"}}},
	}}
}

// lifecycle is a plan of a part of a stack, with moves, holds, imports, checks and replacements.
func lifecycle() *plan.Plan {
	change := func(name string, action plan.Action, adjust func(*plan.Change)) plan.Change {
		c := plan.Change{Address: "module.shop[\"eu\"].application.kubernetes." + name, Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: action}
		adjust(&c)
		return c
	}
	return &plan.Plan{
		Targets: []string{`module.shop["eu"]`}, Observations: []plan.Observation{},
		Moves:  []plan.Move{{From: "application.kubernetes.old", To: `module.shop["eu"].application.kubernetes.moved`}},
		Checks: []plan.Check{{Address: "check.small", Status: "fail", Message: "it is larger than 2"}, {Address: "check.fine", Status: "pass"}, {Address: "check.late", Status: "unknown"}},
		Warnings: []plan.Diagnostic{
			{Summary: "check.small: the check failed", Detail: "it is larger than 2", Address: "check.small", Where: "davit.hcl:7"},
			{Summary: "Deprecated argument", Detail: "Use path_prefix instead of #prefix.\n\nThis is about three."},
		},
		Outputs: []plan.Output{
			{Name: "kept", Before: raw(1), Value: raw(1)},
			{Name: "later", Before: raw("1.0.0`"), Unknown: true},
			{Name: "new", Value: raw([]string{"a", "b"})},
			{Name: "password", Sensitive: true},
		},
		Changes: []plan.Change{
			change("moved", plan.None, func(c *plan.Change) { c.MovedFrom = "application.kubernetes.old" }),
			change("held", plan.None, func(c *plan.Change) {
				c.Hold = &plan.Hold{Revision: 12, Who: "ann@host", Reason: "slow queries", Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			}),
			change("taken", plan.Adopt, func(c *plan.Change) { c.Import = "shop/web" }),
			change("anew", plan.Replace, func(c *plan.Change) { c.TwoSteps, c.Reasons = true, []string{"it was requested by -replace"} }),
			change("first", plan.Replace, func(c *plan.Change) { c.TwoSteps, c.CreateFirst = true, true }),
			change("later", plan.Update, func(c *plan.Change) { c.Deferred, c.WaitsFor = true, []string{"build.buildx.api"} }),
			change("left", plan.Forget, func(c *plan.Change) { c.Reasons = []string{"a removed block keeps it"} }),
		},
	}
}

func refresh() *plan.Plan {
	return &plan.Plan{Mode: plan.ModeRefresh, Observations: []plan.Observation{}, Changes: []plan.Change{
		{Address: "application.kubernetes.api", Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.None,
			Items: []plan.Item{{Key: "1", Kind: "Deployment", Name: "shop/api", Action: plan.Update, Fields: []plan.Field{{Path: "spec.replicas", Before: raw(5), After: raw(2)}}}}},
		{Address: "application.kubernetes.web", Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.Forget, Reasons: []string{"it no longer exists"}},
	}}
}

// arguments is a plan of what a plugin tells nothing of but the action: its arguments are shown.
func arguments() *plan.Plan {
	change := func(name string, action plan.Action, fields ...plan.Field) plan.Change {
		return plan.Change{Address: "application.noop." + name, Kind: "application", Type: "noop", Plugin: "noop", Action: action, Arguments: fields}
	}
	items := change("items", plan.Update, plan.Field{Path: "input", Before: raw("a"), After: raw("b")})
	items.Items = []plan.Item{{Key: "1", Kind: "file", Name: "a.txt", Action: plan.Update, Fields: []plan.Field{{Path: "content", Before: raw("a"), After: raw("b")}}}}
	waits := change("waits", plan.Update, plan.Field{Path: "input", Before: raw("a"), Unknown: true, Prefix: "registry.example.com/api:"})
	waits.WaitsFor = []string{"build.oci.api"}
	return &plan.Plan{Observations: []plan.Observation{}, Changes: []plan.Change{
		change("new", plan.Create, plan.Field{Path: "input", After: raw("<b>*x*</b>")}, plan.Field{Path: "triggers", After: raw([]string{"a", "b"})},
			plan.Field{Path: "token", After: raw("(sensitive)"), Sensitive: true}),
		change("changes", plan.Update, plan.Field{Path: "input", Before: raw("a"), After: raw("b")}, plan.Field{Path: `labels["x"]`, Before: raw("a")},
			plan.Field{Path: "token", Sensitive: true}, plan.Field{Path: "long", After: raw(strings.Repeat("long ", 200))}),
		waits, items,
	}}
}

// waiting is a plan that leaves out changes for each reason that there is.
func waiting(t *testing.T) *plan.Plan {
	p := release(t)
	p.Outputs = nil
	change := func(name string, action plan.Action) plan.Change {
		return plan.Change{Address: `application.kubernetes.shop["` + name + `"]`, Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: action, Reasons: []string{"images changed"}}
	}
	add := func(c plan.Change, list ...plan.Wait) *plan.Waiting {
		digest, err := c.Digest()
		if err != nil {
			t.Fatal(err)
		}
		p.Waiting = append(p.Waiting, plan.Waiting{Change: c, Digest: digest, For: list})
		return &p.Waiting[len(p.Waiting)-1]
	}
	until := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	prod := change("prod", plan.Update)
	prod.Items = []plan.Item{{Key: "1", Kind: "Deployment", Name: "prod/shop", Action: plan.Update, Fields: []plan.Field{{Path: "spec.replicas", Before: raw(1), After: raw(2)}}}}
	prod.Images = []plan.ImageUse{{Name: "shop", Before: "registry.example.com/shop:1.0.2@" + oldDigest, After: "registry.example.com/shop:1.0.3@sha256:", Unknown: true}, {Name: "same", Before: "x:1", After: "x:1"}}
	w := add(prod, plan.Wait{What: plan.WaitApproval, Gate: "prod", Causes: []plan.Cause{plan.CauseImage}}, plan.Wait{What: plan.WaitApproval, Gate: "all", Causes: []plan.Cause{plan.CauseImage}})
	w.Partly = true
	w.Images = []plan.ImageChange{{Application: prod.Address, Name: "shop", Before: prod.Images[0].Before, After: prod.Images[0].After, Unknown: true}}
	add(change("two", plan.Update), plan.Wait{What: plan.WaitApproval, Gate: "prod", Causes: []plan.Cause{plan.CauseImage, plan.CauseRemoved}}).Whole = "the rest of the change cannot be applied without the image"
	add(change("gone", plan.Delete), plan.Wait{What: plan.WaitDeletions, Gate: "limit", Deletions: 12, Limit: 3}, plan.Wait{What: plan.WaitWindow, Gate: "hours", Until: until})
	add(change("never", plan.Update), plan.Wait{What: plan.WaitWindow, Gate: "hours", Reason: "no window opens in the next two years"})
	add(change("soak", plan.Update), plan.Wait{What: plan.WaitSoak, Gate: "soak", Address: `application.kubernetes.shop["dev"]`, Until: until})
	add(change("ill", plan.Update), plan.Wait{What: plan.WaitSoak, Gate: "soak", Address: `application.kubernetes.shop["dev"]`, Reason: "it is not healthy"})
	add(change("@everyone", plan.Create), plan.Wait{What: plan.WaitInstance, Address: prod.Address})
	add(change("later", plan.Create), plan.Wait{What: plan.WaitInstance, Gate: "prod", Reason: "it is planned in full, and can be approved, when this is applied"})
	add(change("failing", plan.Update), plan.Wait{What: plan.WaitBackoff, Until: until, Reason: "the image cannot be pulled"})
	p.Approvals = []plan.Approval{{Address: "application.kubernetes.api", Digest: oldDigest, Who: "ann@host", When: until, Where: "davit plan"}}
	p.Overrides = []plan.Override{{Gate: "hours", Who: "ann@host", When: until, Where: "davit plan"}}
	return p
}

func unchanged() *plan.Plan {
	return &plan.Plan{Observations: []plan.Observation{}, Changes: []plan.Change{{Address: "build.oci.a", Kind: "build", Type: "oci", Plugin: "oci", Action: plan.None}}}
}

func sealed(t *testing.T, p *plan.Plan) *plan.Plan {
	t.Helper()
	p.Format, p.Davit, p.Created = plan.Format, "0.1.0", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if p.Mode == "" {
		p.Mode = plan.ModeApply
	}
	p.Config = oldDigest
	p.Summary = plan.Summarise(p.Changes)
	p.Summary.Waiting = len(p.Waiting)
	if p.Mode == plan.ModeRefresh {
		p.Summary.Drift = len(p.Changes)
	}
	if err := p.Seal(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGolden(t *testing.T) {
	for name, p := range map[string]*plan.Plan{"release": release(t), "deletion": deletion(), "unchanged": unchanged(), "lifecycle": lifecycle(), "refresh": refresh(), "arguments": arguments(), "waiting": waiting(t)} {
		t.Run(name, func(t *testing.T) {
			p := sealed(t, p)
			var text, colour, js bytes.Buffer
			for _, err := range []error{view.Text(&text, p, view.Options{}), view.Text(&colour, p, view.Options{Color: true}), view.JSON(&js, p)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name+".txt", text.Bytes())
			golden(t, name+".colour.txt", colour.Bytes())
			golden(t, name+".md", []byte(view.Markdown(p, view.MarkdownOptions{})))
			golden(t, name+".json", js.Bytes())
			valid(t, schemas.Plan, js.Bytes())
			if strings.Contains(text.String(), "\x1b") {
				t.Error("a control character of the outside reaches the terminal")
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look, and run go test -update\n%s", path, got)
	}
}

// valid checks a document against a published schema.
func valid(t *testing.T, schema, document []byte) {
	t.Helper()
	s, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", s); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(d); err != nil {
		t.Error(err)
	}
}

// However long the plan, the comment fits, is whole lines, begins with the summary and the
// deletions, and says what it left out.
func TestMarkdownFits(t *testing.T) {
	p := release(t)
	for i := range 300 {
		c := plan.Change{Address: fmt.Sprintf("application.kubernetes.a%d", i), Kind: "application", Type: "kubernetes", Plugin: "kubernetes", Action: plan.Update}
		for j := range 10 {
			c.Items = append(c.Items, plan.Item{Key: fmt.Sprint(j), Kind: "ConfigMap", Name: fmt.Sprintf("ns/c%d", j), Action: plan.Create,
				Fields: []plan.Field{{Path: "data.text", After: raw(strings.Repeat("ü`` ", 60))}}})
		}
		p.Changes = append(p.Changes, c)
	}
	sealed(t, p)
	for _, limit := range []int{view.CommentLimit, 20000, 4000} {
		got := view.Markdown(p, view.MarkdownOptions{Limit: limit})
		if len(got) >= limit {
			t.Errorf("%d bytes for a limit of %d", len(got), limit)
		}
		for _, want := range []string{"## davit plan", "1 to build, 301 to update", "ConfigMap shop/old", "left out", p.Digest} {
			if !strings.Contains(got, want) {
				t.Errorf("limit %d: the comment lacks %q", limit, want)
			}
		}
		if a, b := strings.Count(got, "<details>"), strings.Count(got, "</details>"); a != b {
			t.Errorf("limit %d: %d details begin and %d end", limit, a, b)
		}
		if !strings.HasSuffix(got, "</sub>\n") {
			t.Errorf("limit %d: it does not end with the digest line", limit)
		}
	}
}

// What people of the outside wrote pings nobody and breaks out of no fence.
func TestMarkdownIsHarmless(t *testing.T) {
	p := release(t)
	p.Images[0].Commits[0].Subject = "ping @octocat #12 | <script>alert(1)</script> [x](http://evil) ![i](u)"
	p.Changes[1].Items[0].Fields[1].After = raw("```\n</details><b>out</b>")
	got := view.Markdown(sealed(t, p), view.MarkdownOptions{})
	for _, bad := range []string{"@octocat", "#12", "<script>", "[x](http", "\n```\n</details><b>"} {
		if strings.Contains(got, bad) {
			t.Errorf("the comment holds %q:\n%s", bad, got)
		}
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	sink := view.Progress(&b, view.Options{})
	for _, e := range []event.Event{
		{Type: event.OperationStart, Address: "build.buildx.api", Action: "build"},
		{Type: event.Log, Address: "build.buildx.api", Stream: "linux/arm64 3/5", Message: "RUN make\x1b[2J"},
		{Type: event.Item, Address: "application.kubernetes.api", Item: "Deployment/api", Status: "waiting", Message: "1 of 2 ready"},
		{Type: event.Heartbeat, Address: "build.buildx.api", Action: "build", ElapsedMS: 61000},
		{Type: event.OperationDone, Address: "build.buildx.api", Action: "build", ElapsedMS: 1234},
	} {
		sink(e)
	}
	want := "build.buildx.api: building ...\n" +
		"build.buildx.api: linux/arm64 3/5: RUN make\uFFFD[2J\n" +
		"application.kubernetes.api: Deployment/api: waiting: 1 of 2 ready\n" +
		"build.buildx.api: still building after 1m1s\n" +
		"build.buildx.api: built in 1.23s\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestEventsFitTheirSchema(t *testing.T) {
	var b bytes.Buffer
	sink := view.JSONEvents(&b)
	sink(event.Event{Time: time.Now(), Type: event.Item, Address: "a.b.c", Item: "x", Status: "applied"})
	sink(event.Event{Time: time.Now(), Type: event.Summary, Result: &event.Result{Done: []event.Outcome{{Address: "a.b.c", Action: "build"}}, Failed: []event.Outcome{}, NotStarted: []event.Outcome{}}})
	for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
		valid(t, schemas.Event, []byte(line))
	}
}

// What failed in the same way is said once, with the addresses of the first few.
func TestResultFoldsWhatIsAlike(t *testing.T) {
	r := &event.Result{Done: []event.Outcome{{Address: "a.b.d1", Action: "create"}, {Address: "a.b.d2", Action: "create"}}}
	for i := range 60 {
		address := fmt.Sprintf("a.b.x[%d]", i)
		r.Failed = append(r.Failed, event.Outcome{Address: address, Action: "create", Error: address + ": applying failed: no route to " + address, Hint: "Look at the cable."})
		r.NotStarted = append(r.NotStarted, event.Outcome{Address: fmt.Sprintf("a.b.y[%d]", i), Action: "update", Reason: "a.b.z failed"})
	}
	r.Failed = append(r.Failed, event.Outcome{Address: "a.b.z", Action: "update", Error: "a.b.z: another one"})
	var b bytes.Buffer
	view.Result(&b, r, view.Options{})
	want := `
Done:
  + a.b.d1
  + a.b.d2

Failed:
  + a.b.x[0], a.b.x[1], a.b.x[2], a.b.x[3], a.b.x[4] and 55 more: applying failed: no route to a.b.x[0]
      Look at the cable.
  ~ a.b.z: another one

Not started:
  ~ a.b.y[0], a.b.y[1], a.b.y[2], a.b.y[3], a.b.y[4] and 55 more: a.b.z failed

Apply: 2 done, 61 failed, 60 not started.
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
