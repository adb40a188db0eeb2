package buildx

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// app is a context with a base image and files that count and that do not.
var app = map[string]string{
	"apps/api/Dockerfile":       "FROM REGISTRY/base:1\nCOPY . .\n",
	"apps/api/.dockerignore":    "*.md\n",
	"apps/api/main.py":          "print(1)",
	"apps/api/NOTES.md":         "ignored",
	"apps/api/tests/test_it.py": "x",
	"README":                    "hello",
}

func newApp(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, app)
	w.config.Context = "apps/api"
	w.push("base:1")
	return w
}

func TestTheFirstPlanSaysWhatWillBeBuilt(t *testing.T) {
	w := newApp(t)
	p := w.plan()
	if p.Action != sdk.ActionBuild || !slices.Equal(p.Reasons, []string{"it has not been built before"}) {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	o := p.Outputs
	if o.Repository != w.config.Repository || o.Tag != "1.0.1" || o.Revision != "c1" || !strings.HasPrefix(o.Key, "sha256:") {
		t.Errorf("%+v", o)
	}
	if !o.Digest.IsUnknown() || o.Ref.Prefix() != w.config.Repository+":1.0.1@sha256:" {
		t.Errorf("digest and ref: %+v %+v", o.Digest, o.Ref)
	}
	if len(p.Items) != 2 || p.Items[0].Key != "linux/amd64" || p.Items[1].Key != "linux/arm64" || p.Items[0].Action != sdk.ActionBuild {
		t.Errorf("items %+v", p.Items)
	}
}

func TestWhatDoesNotChangeTheImagesBuildsNothing(t *testing.T) {
	changes := map[string]func(*world){
		"a file outside of the context":   func(w *world) { w.write(map[string]string{"README": "another"}) },
		"a file that .dockerignore names": func(w *world) { w.write(map[string]string{"apps/api/NOTES.md": "another", "apps/api/MORE.md": "x"}) },
		"the tag":                         func(w *world) { w.config.Tag = "1.0.2" },
		"the order of platforms":          func(w *world) { slices.Reverse(w.config.Platforms) },
		"another way to write one":        func(w *world) { w.config.Platforms = []string{"linux/arm64/v8", "linux/x86_64"} },
		"where it is built":               func(w *world) { w.config.BuildKit, w.config.Timeout = "tcp://127.0.0.1:1", 1 },
		"where the cache is":              func(w *world) { w.config.Cache = &Cache{Ref: w.host + "/cache:1", Mode: "max"} },
		"another way to write a path":     func(w *world) { w.config.Dockerfile, w.config.Context = "./Dockerfile", "./apps/api/" },
		"what a secret holds":             func(w *world) { w.config.Secrets["token"] = "another-file" },
		"a stage nobody needs":            func(w *world) { w.push("unused:1") },
	}
	for what, change := range changes {
		t.Run(what, func(t *testing.T) {
			w := newApp(t)
			w.config.Secrets = map[string]string{"token": "a-file"}
			was := w.built()
			change(w)
			w.config.Source.Revision = "c2"
			if p := w.plan(); p.Action != sdk.ActionNone || p.Outputs.Key != was.Key || p.Outputs.Tag != "1.0.1" || p.Outputs.Digest != was.Digest || p.Outputs.Revision != "c1" {
				t.Errorf("%s %q\n%+v\n%+v", p.Action, p.Reasons, p.Outputs, was)
			}
		})
	}
}

func TestThePlanSaysWhyItBuilds(t *testing.T) {
	tests := map[string]struct {
		change func(*world)
		want   string
	}{
		"a file":               {func(w *world) { w.write(map[string]string{"apps/api/main.py": "print(2)"}) }, "files changed: main.py"},
		"the Dockerfile":       {func(w *world) { w.write(map[string]string{"apps/api/Dockerfile": "FROM REGISTRY/base:1\n"}) }, "files changed: Dockerfile"},
		"what is ignored":      {func(w *world) { w.write(map[string]string{"apps/api/.dockerignore": "*.txt\n"}) }, "files changed: .dockerignore, NOTES.md (new)"},
		"an argument":          {func(w *world) { w.config.Args = map[string]string{"A": "2"} }, "build argument A changed"},
		"a new argument":       {func(w *world) { w.config.Args["B"] = "1" }, "build argument B was set"},
		"an argument gone":     {func(w *world) { w.config.Args = nil }, "build argument A was removed"},
		"a sensitive argument": {func(w *world) { w.config.SensitiveArgs = map[string]string{"S": "correct-horse"} }, "build argument S changed"},
		"a new secret":         {func(w *world) { w.config.Secrets = map[string]string{"token": "file"} }, "secrets was set"},
		"the target":           {func(w *world) { w.config.Target = "0" }, "target was set"},
		"the labels":           {func(w *world) { w.config.Labels = map[string]string{"team": "api"} }, "labels was set"},
		"the platforms":        {func(w *world) { w.config.Platforms = []string{"linux/arm"} }, "platforms changed from linux/amd64, linux/arm64 to linux/arm/v7"},
		"the repository":       {func(w *world) { w.config.Repository += "-copy" }, "-copy, not "},
		"another base": {func(w *world) {
			w.push("base:2")
			w.write(map[string]string{"apps/api/Dockerfile": "FROM REGISTRY/base:2\nCOPY . .\n"})
		}, "base:2 was added"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newApp(t)
			w.config.Args = map[string]string{"A": "1"}
			w.config.SensitiveArgs = map[string]string{"S": "hunter22"}
			w.built()
			w.config.Source.Revision, w.config.Tag = "c2", "1.0.2"
			tt.change(w)
			if p := w.plan(); p.Action != sdk.ActionBuild || !strings.Contains(strings.Join(p.Reasons, "; "), tt.want) {
				t.Errorf("%s %q, want %q", p.Action, p.Reasons, tt.want)
			}
		})
	}
}

func TestABaseImageThatMovedIsAReasonToBuild(t *testing.T) {
	w := newApp(t)
	w.config.Triggers = []string{"main.py"}
	w.built()
	reviewed := w.prior.Private
	is := w.push("base:1")
	w.config.Tag = "1.0.2"
	p := w.plan()
	if got := strings.Join(p.Reasons, "; "); p.Action != sdk.ActionBuild || !strings.Contains(got, "the base image "+w.host+"/base:1 changed from sha256:") || !strings.HasSuffix(got, " to "+is[:19]) {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	// What was reviewed is planned again with the base that was reviewed.
	again, err := builder{}.Plan(w.ctx(), planRequest{Config: w.config, Prior: w.prior, Private: reviewed})
	if err != nil || again.Action != sdk.ActionNone {
		t.Errorf("%s %q, %v", again.Action, again.Reasons, err)
	}
}

func TestTriggersAreTheUsersWord(t *testing.T) {
	w := newApp(t)
	w.write(map[string]string{"apps/api/lib/real.py": "r"})
	if err := os.Symlink("lib/real.py", filepath.Join(w.config.Source.Tree.Path, "apps/api/link.py")); err != nil {
		t.Fatal(err)
	}
	w.config.Triggers = []string{"main.py", "link.py", "nothing/**"}
	if p := w.plan(); !slices.Contains(p.Reasons, "no file matches the trigger nothing/**") {
		t.Errorf("%q", p.Reasons)
	}
	w.built()
	w.config.Tag = "1.0.2"
	w.write(map[string]string{"apps/api/tests/test_it.py": "y"})
	if p := w.plan(); p.Action != sdk.ActionNone {
		t.Errorf("a file that no trigger names: %s %q", p.Action, p.Reasons)
	}
	w.write(map[string]string{"apps/api/lib/real.py": "s"})
	if p := w.plan(); p.Action != sdk.ActionBuild || p.Reasons[0] != "files changed: lib/real.py" {
		t.Errorf("a file behind a link: %s %q", p.Action, p.Reasons)
	}
}

func TestTheDockerfilesOwnIgnoreFileGoesFirst(t *testing.T) {
	w := newApp(t)
	w.write(map[string]string{"apps/api/Dockerfile.dockerignore": "tests\n"})
	w.built()
	w.write(map[string]string{"apps/api/tests/test_it.py": "y"})
	if p := w.plan(); p.Action != sdk.ActionNone {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	w.config.Tag = "1.0.2"
	w.write(map[string]string{"apps/api/NOTES.md": "y"})
	if p := w.plan(); p.Action != sdk.ActionBuild {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
}

func TestABuildOfAnotherMachineIsTakenOver(t *testing.T) {
	w := newApp(t)
	was := w.built()
	w.prior = nil
	w.config.Tag, w.config.Source.Revision = "1.0.9", "c9"
	p := w.plan()
	if p.Action != sdk.ActionAdopt || p.Outputs.Tag != "1.0.1" || p.Outputs.Digest != was.Digest || p.Outputs.Revision != "c1" {
		t.Fatalf("%s %q %+v", p.Action, p.Reasons, p.Outputs)
	}
	// Nothing is needed to build with.
	r, err := builder{}.Apply(w.ctx(), applyRequest{Action: p.Action, Config: w.config, Planned: p.Outputs, Private: p.Private})
	if err != nil || r.Outputs.Digest != was.Digest {
		t.Fatalf("%+v, %v", r, err)
	}
	w.prior = &sdk.Record[Config, Outputs]{Config: w.config, Outputs: r.Outputs, Private: r.Private}
	if p := w.plan(); p.Action != sdk.ActionNone {
		t.Errorf("then %s %q", p.Action, p.Reasons)
	}
}

func TestATagThatHoldsAnotherBuildIsNotMovedUnlessTold(t *testing.T) {
	w := newApp(t)
	w.built()
	w.write(map[string]string{"apps/api/main.py": "print(2)"})
	_, err := w.tryPlan()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "registry.tag_taken" {
		t.Fatalf("%v", err)
	}
	w.config.Overwrite = true
	if p := w.plan(); p.Action != sdk.ActionBuild {
		t.Errorf("%s", p.Action)
	}
}

func TestWhatVanishedFromTheRegistryIsBuiltAgain(t *testing.T) {
	w := newApp(t)
	was := w.built()
	if err := remote.Delete(w.repo.Digest(was.Digest.OrZero())); err != nil {
		t.Fatal(err)
	}
	if p := w.plan(); p.Action != sdk.ActionBuild || !strings.Contains(p.Reasons[0], "was deleted or changed in the registry") {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
}

// Plans are reviewed, and state is kept, by people who need not know the secrets.
func TestSecretsAreNotInPlans(t *testing.T) {
	w := newApp(t)
	w.config.SensitiveArgs = map[string]string{"TOKEN": "hunter2"}
	w.config.Secrets = map[string]string{"npm": "env:DAVIT_TEST_SECRET"}
	t.Setenv("DAVIT_TEST_SECRET", "swordfish")
	p := w.plan()
	raw, err := json.Marshal(p.Items)
	if err != nil {
		t.Fatal(err)
	}
	everything := string(p.Private) + string(raw) + strings.Join(p.Reasons, " ") + p.Outputs.Key + strings.Join(w.call.Logs, " ")
	for _, s := range []string{"hunter2", "swordfish"} {
		if strings.Contains(everything, s) {
			t.Errorf("%s is in %s", s, everything)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	tests := map[string]struct {
		change func(*world)
		want   string
	}{
		"the context":            {func(w *world) { w.config.Context = "apps/apo" }, "it has: apps/api"},
		"a context outside":      {func(w *world) { w.config.Context = "../x" }, "leads out of the source"},
		"the Dockerfile":         {func(w *world) { w.config.Dockerfile = "docker/Dockerfile" }, `docker/Dockerfile does not exist in the context apps/api`},
		"the base image":         {func(w *world) { w.write(map[string]string{"apps/api/Dockerfile": "FROM REGISTRY/none:1"}) }, "/none:1: not found"},
		"what a base depends on": {func(w *world) { w.write(map[string]string{"apps/api/Dockerfile": "FROM $X"}) }, "is empty with these build arguments"},
		"an ignore file":         {func(w *world) { w.write(map[string]string{"apps/api/.dockerignore": "[\n"}) }, ".dockerignore cannot be read"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newApp(t)
			tt.change(w)
			_, err := w.tryPlan()
			var e *sdk.Error
			if !errors.As(err, &e) || e.Path == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	w := newApp(t)
	w.write(map[string]string{"apps/api/docker/api.Dockerfile": "FROM scratch", "apps/api/Dockerfile": ""})
	var e *sdk.Error
	if _, err := w.tryPlan(); !errors.As(err, &e) || !strings.Contains(e.Hint, `set dockerfile = "docker/api.Dockerfile"`) {
		t.Errorf("%v", err)
	}
}

func TestWithoutABuilderTheErrorSaysWhatToSet(t *testing.T) {
	w := newApp(t)
	apply := func() *sdk.Error {
		p := w.plan()
		_, err := builder{}.Apply(w.ctx(), applyRequest{Action: p.Action, Config: w.config, Planned: p.Outputs, Private: p.Private})
		var e *sdk.Error
		if !errors.As(err, &e) {
			t.Fatalf("%v", err)
		}
		return e
	}
	if e := apply(); e.Code != "buildx.no_builder" || !strings.Contains(e.Hint, "BUILDKIT_HOST") {
		t.Errorf("nothing: %v", e)
	}
	w.config.BuildKit = "unix://" + filepath.Join(t.TempDir(), "none.sock")
	if e := apply(); e.Code != "buildx.unreachable" || !strings.Contains(e.Summary, "none.sock") {
		t.Errorf("no daemon: %v", e)
	}
	w.config.BuildKit, w.config.Builder = "", "mine"
	t.Setenv("PATH", t.TempDir())
	if e := apply(); e.Code != "buildx.no_docker" {
		t.Errorf("no docker: %v", e)
	}
	w.config.Builder, w.config.Secrets = "", map[string]string{"x": "none.txt"}
	if e := apply(); e.Code != "buildx.secret" || !slices.Equal(e.Path, sdk.At("secrets").Key("x")) {
		t.Errorf("no secret: %v", e)
	}
	w.config.Secrets = map[string]string{"x": "env:DAVIT_NOT_SET"}
	if e := apply(); e.Code != "buildx.secret" || !strings.Contains(e.Summary, "DAVIT_NOT_SET") {
		t.Errorf("no variable: %v", e)
	}
}

func TestFilesThatChangeBetweenPlanAndApplyAreNotBuilt(t *testing.T) {
	w := newApp(t)
	p := w.plan()
	w.write(map[string]string{"apps/api/main.py": "print(2)"})
	_, err := builder{}.Apply(w.ctx(), applyRequest{Action: p.Action, Config: w.config, Planned: p.Outputs, Private: p.Private})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "buildx.stale" {
		t.Errorf("%v", err)
	}
}
