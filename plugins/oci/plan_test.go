package oci

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestTheFirstPlanSaysWhatWillBeBuilt(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)", "tests/a": "x"})
	p := w.plan()
	if p.Action != sdk.ActionBuild || !slices.Equal(p.Reasons, []string{"it has not been built before"}) {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	o := p.Outputs
	if o.Repository != w.config.Repository || o.Tag != "1.0.1" || o.Revision != "c1" || !strings.HasPrefix(o.Key, "sha256:") {
		t.Errorf("%+v", o)
	}
	if !slices.Equal(o.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %q", o.Platforms)
	}
	if !o.Digest.IsUnknown() || o.Ref.Prefix() != w.config.Repository+":1.0.1@sha256:" {
		t.Errorf("digest and ref: %+v %+v", o.Digest, o.Ref)
	}
	if len(p.Items) != 2 || p.Items[0].Key != "linux/amd64" || p.Items[0].Kind != "platform" || p.Items[0].Note != "2 files, 9 B" {
		t.Errorf("items %+v", p.Items)
	}
}

func TestNothingIsBuiltWhenNothingThatCountsChanged(t *testing.T) {
	w := newWorld(t, map[string]string{"app/main.py": "print(1)", "README": "hello"})
	w.config.Context = "app"
	first := w.apply()
	w.write(map[string]string{"README": "another"})
	w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
	p := w.plan()
	if p.Action != sdk.ActionNone || len(p.Items) != 0 || fmt.Sprint(p.Outputs) != fmt.Sprint(first) {
		t.Errorf("%s %q\n%+v\n%+v", p.Action, p.Reasons, p.Outputs, first)
	}
}

func TestThePlanSaysWhyItBuilds(t *testing.T) {
	tests := map[string]struct {
		change func(*world)
		want   string
	}{
		"a file": {func(w *world) { w.write(map[string]string{"main.py": "print(2)"}) }, "files changed: main.py"},
		"files that come and go": {func(w *world) { w.write(map[string]string{"main.py": "", "new.py": "x", "tests/a": "y"}) },
			"files changed: main.py (removed), new.py (new), tests/a"},
		"many files": {func(w *world) {
			for i := range 8 {
				w.write(map[string]string{fmt.Sprintf("f%d", i): "x"})
			}
		}, "files changed: f0 (new), f1 (new), f2 (new), f3 (new), f4 (new) and 3 more"},
		"the command":   {func(w *world) { w.config.Entrypoint = []string{"/app/main.py"} }, "entrypoint was set"},
		"the variables": {func(w *world) { w.config.Env = map[string]string{"A": "2"} }, "env changed"},
		"no variables":  {func(w *world) { w.config.Env = nil }, "env was removed"},
		"the platforms": {func(w *world) { w.config.Platforms = []string{"linux/amd64"} }, "platforms changed from linux/amd64, linux/arm64 to linux/amd64"},
		"the place":     {func(w *world) { w.config.To = "/srv" }, "the files' places in the image changed"},
		"the layers": {func(w *world) { w.config.Layers = []Layer{{From: "**", To: "/app", Mode: "0600"}} },
			"the files' places in the image changed"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, map[string]string{"main.py": "print(1)", "tests/a": "x"})
			w.config.Env = map[string]string{"A": "1"}
			w.apply()
			w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
			tt.change(w)
			p := w.plan()
			if p.Action != sdk.ActionBuild || strings.Join(p.Reasons, "; ") != tt.want {
				t.Errorf("%s %q, want %q", p.Action, p.Reasons, tt.want)
			}
		})
	}
}

func TestABuildOfAnotherMachineIsTakenOver(t *testing.T) {
	here := newWorld(t, map[string]string{"main.py": "print(1)"})
	pushed := here.apply()

	there := newWorld(t, map[string]string{"main.py": "print(1)"})
	there.repo, there.config.Repository = here.repo, here.config.Repository
	there.commit("c9", "2026-01-09T00:00:00Z", "1.0.9")
	p := there.plan()
	if p.Action != sdk.ActionAdopt || !slices.Equal(p.Reasons, []string{"already pushed as 1.0.1 with this content key"}) {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	if fmt.Sprint(p.Outputs) != fmt.Sprint(pushed) {
		t.Errorf("planned %+v, pushed %+v", p.Outputs, pushed)
	}
	if got := there.apply(); fmt.Sprint(got) != fmt.Sprint(pushed) {
		t.Errorf("applied %+v", got)
	}
	if p := there.plan(); p.Action != sdk.ActionNone {
		t.Errorf("then %s %q", p.Action, p.Reasons)
	}
}

func TestARevertIsPushedAgainUnderTheNewTagWithoutBuilding(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	good := w.apply()
	w.write(map[string]string{"main.py": "print('bad')"})
	w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
	w.apply()

	w.write(map[string]string{"main.py": "print(1)"})
	w.commit("c3", "2026-01-03T00:00:00Z", "1.0.3")
	p := w.plan()
	if p.Action != sdk.ActionAdopt || p.Outputs.Tag != "1.0.3" || p.Outputs.Digest.IsUnknown() || !strings.Contains(strings.Join(p.Reasons, ""), "the content is again that of 1.0.1") {
		t.Fatalf("%s %q %+v", p.Action, p.Reasons, p.Outputs)
	}
	got := w.apply()
	if got.Tag != "1.0.3" || got.Revision != "c3" || got.Digest != p.Outputs.Digest || w.digestOf("1.0.3") != got.Digest.OrZero() {
		t.Errorf("%+v", got)
	}
	was, _ := w.index(good.Digest.OrZero()).IndexManifest()
	is, _ := w.index("1.0.3").IndexManifest()
	if was.Manifests[0].Digest != is.Manifests[0].Digest {
		t.Error("the images are others")
	}
	if w.digestOf("1.0.1") != good.Digest.OrZero() {
		t.Error("the old tag moved")
	}
	if p := w.plan(); p.Action != sdk.ActionNone {
		t.Errorf("then %s %q", p.Action, p.Reasons)
	}
}

func TestATagThatHoldsAnotherBuildIsNotMovedUnlessTold(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	first := w.apply()
	w.write(map[string]string{"main.py": "print(2)"})
	_, err := w.tryPlan()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "registry.tag_taken" || !strings.Contains(err.Error(), first.Key) || !strings.Contains(e.Hint, "overwrite") {
		t.Fatalf("%v", err)
	}
	w.config.Overwrite = true
	if got := w.apply(); w.digestOf("1.0.1") != got.Digest.OrZero() || got.Digest == first.Digest {
		t.Errorf("%+v", got)
	}
	// and back again
	w.write(map[string]string{"main.py": "print(1)"})
	if got := w.apply(); got.Key != first.Key || w.digestOf("1.0.1") != got.Digest.OrZero() {
		t.Errorf("%+v", got)
	}
}

func TestATagTakenBetweenPlanAndApplyIsNotMoved(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	p := w.plan()
	mine := w.config
	w.write(map[string]string{"main.py": "print(2)"})
	theirs := w.apply()
	w.write(map[string]string{"main.py": "print(1)"})
	w.config, w.prior = mine, nil
	if _, err := w.tryApply(p); err == nil || !strings.Contains(err.Error(), "already holds another build") {
		t.Errorf("%v", err)
	}
	if w.digestOf("1.0.1") != theirs.Digest.OrZero() {
		t.Error("the tag moved")
	}
}

func TestFilesThatChangeBetweenPlanAndApplyAreNotBuilt(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	p := w.plan()
	w.write(map[string]string{"main.py": "print(2)"})
	_, err := w.tryApply(p)
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "oci.stale" {
		t.Errorf("%v", err)
	}
}

func TestWhatVanishedFromTheRegistryIsPushedAgain(t *testing.T) {
	t.Run("the tag", func(t *testing.T) {
		w := newWorld(t, map[string]string{"main.py": "print(1)"})
		pushed := w.apply()
		if err := remote.Delete(w.repo.Tag("1.0.1")); err != nil {
			t.Fatal(err)
		}
		w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
		p := w.plan()
		if p.Action != sdk.ActionAdopt || !strings.Contains(strings.Join(p.Reasons, "; "), "1.0.1 was deleted and will be restored") {
			t.Errorf("%s %q", p.Action, p.Reasons)
		}
		w.apply()
		if w.digestOf("1.0.1") != pushed.Digest.OrZero() {
			t.Error("the tag is not what it was")
		}
	})
	t.Run("everything", func(t *testing.T) {
		w := newWorld(t, map[string]string{"main.py": "print(1)"})
		pushed := w.apply()
		if err := remote.Delete(w.repo.Digest(pushed.Digest.OrZero())); err != nil {
			t.Fatal(err)
		}
		p := w.plan()
		if p.Action != sdk.ActionBuild || !strings.Contains(p.Reasons[0], "1.0.1 was deleted or changed in the registry") {
			t.Errorf("%s %q", p.Action, p.Reasons)
		}
		if got := w.apply(); got.Digest != pushed.Digest {
			t.Errorf("another digest: %v, %v", got.Digest, pushed.Digest)
		}
	})
}

func TestAnotherRepositoryGetsItsOwnPush(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	first := w.apply()
	w.config.Repository += "-copy"
	p := w.plan()
	if p.Action != sdk.ActionBuild || p.Outputs.Key != first.Key || !strings.Contains(p.Reasons[0], "not "+first.Repository+" any more") {
		t.Errorf("%s %q", p.Action, p.Reasons)
	}
	if got := w.apply(); got.Digest != first.Digest {
		t.Errorf("the same build has another digest: %v, %v", got.Digest, first.Digest)
	}
}

func TestARegistryThatFailsIsAnErrorAndNoReasonToBuild(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	w.apply()
	w.setBefore(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	p, err := w.tryPlan()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "registry.unauthorized" {
		t.Errorf("%s, %v", p.Action, err)
	}
}

func TestEveryKilledApplyIsFinishedByTheNext(t *testing.T) {
	// The registry dies at the nth request that changes it: the apply is cut off there.
	for n := 1; ; n++ {
		w := newWorld(t, map[string]string{"main.py": "print(1)", "lib/a": "a"})
		writes, alive := 0, true
		w.setBefore(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				writes++
				alive = alive && writes < n
			}
			if !alive {
				rw.WriteHeader(http.StatusForbidden)
			}
			return !alive
		})
		p := w.plan()
		_, err := w.tryApply(p)
		w.setBefore(nil)
		if err == nil {
			if n < 5 {
				t.Fatalf("an apply makes only %d writes", n-1)
			}
			return
		}
		// The next run has the same record and another tag, as after another commit, only if the tag was not pushed.
		for _, saved := range w.call.Saved {
			w.prior = &sdk.Record[Config, Outputs]{Config: w.config, Outputs: saved.(Outputs), Private: p.Private}
		}
		got := w.apply()
		if w.digestOf("1.0.1") != got.Digest.OrZero() || w.digestOf(registry.KeyTag(got.Key)) != got.Digest.OrZero() {
			t.Errorf("cut off at write %d: %+v", n, got)
		}
		if p := w.plan(); p.Action != sdk.ActionNone {
			t.Errorf("cut off at write %d: then %s %q", n, p.Action, p.Reasons)
		}
	}
}

func TestDestroyLeavesTheImagesUnlessTold(t *testing.T) {
	for _, wish := range []bool{false, true} {
		w := newWorld(t, map[string]string{"main.py": "print(1)"})
		w.config.DeleteOnDestroy = wish
		pushed := w.apply()
		p, err := builder{}.Plan(w.ctx(), planRequest{Config: w.config, Prior: w.prior, Destroy: true})
		want := map[bool]sdk.Action{true: sdk.ActionDelete, false: sdk.ActionForget}[wish]
		if err != nil || p.Action != want || len(p.Items) != 1 || !slices.Equal(p.Causes, []sdk.Cause{sdk.CauseRemoved}) {
			t.Fatalf("%+v, %v", p, err)
		}
		if stays := strings.Contains(p.Items[0].Note, "stays in the registry"); stays == wish {
			t.Errorf("delete_on_destroy %v: %+v", wish, p.Items[0])
		}
		for range 2 { // again: it is gone already
			if err := (builder{}).Destroy(w.ctx(), destroyRequest{Config: w.config, Prior: *w.prior, Private: p.Private}); err != nil {
				t.Fatal(err)
			}
		}
		tags, err := registry.Tags(t.Context(), w.repo)
		left := []string{"1.0.1", registry.KeyTag(pushed.Key)}
		if wish {
			left = nil
		}
		if err != nil || !slices.Equal(tags, left) {
			t.Errorf("delete_on_destroy %v: tags %q, %v", wish, tags, err)
		}
	}
}

func TestDestroyLeavesATagThatHoldsAnotherImage(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	w.config.DeleteOnDestroy, w.config.Overwrite = true, true
	w.apply()
	mine := *w.prior
	w.write(map[string]string{"main.py": "print(2)"})
	theirs := w.apply()
	if err := (builder{}).Destroy(w.ctx(), destroyRequest{Config: w.config, Prior: mine}); err != nil {
		t.Fatal(err)
	}
	if w.digestOf("1.0.1") != theirs.Digest.OrZero() {
		t.Error("the tag is gone")
	}
}

// A build claims the tag that it has pushed, in every plan, and not the one that an unrelated commit would have made.
func TestABuildClaimsItsTag(t *testing.T) {
	w := newWorld(t, map[string]string{"main.py": "print(1)"})
	claim := sdk.ImageClaim(w.repo.Name(), "1.0.1")
	wantClaims := func(what string, p planResult, want ...sdk.Claim) {
		t.Helper()
		if !slices.Equal(p.Claims, want) {
			t.Errorf("%s claims %q, want %q", what, p.Claims, want)
		}
	}
	first := w.plan()
	wantClaims("the first plan", first, claim)
	if !slices.Equal(first.Causes, []sdk.Cause{sdk.CauseNew}) {
		t.Errorf("the first plan has the causes %q", first.Causes)
	}
	w.apply()
	w.commit("c2", "2026-01-02T00:00:00Z", "1.0.2")
	wantClaims("an unrelated commit", w.plan(), claim)
	prior := w.prior
	w.prior, w.config.Tag = nil, "1.0.1"
	again := w.plan()
	wantClaims("a build found again", again, claim)
	if again.Action != sdk.ActionAdopt || !slices.Equal(again.Causes, []sdk.Cause{sdk.CauseNew}) {
		t.Errorf("%s, causes %q", again.Action, again.Causes)
	}

	// Another build of the same content takes the tag over as it is. It does not own it, and does not delete it.
	w.config.Tag, w.config.DeleteOnDestroy = "pr-7", true
	wantClaims("another build of the same content", w.plan())
	w.apply()
	wantClaims("another build, later", w.plan())
	p, err := builder{}.Plan(w.ctx(), planRequest{Config: w.config, Prior: w.prior, Destroy: true})
	if err != nil || p.Action != sdk.ActionForget {
		t.Errorf("%s, %v", p.Action, err)
	}
	if err := (builder{}).Destroy(w.ctx(), destroyRequest{Config: w.config, Prior: *w.prior}); err != nil {
		t.Fatal(err)
	}
	if w.digestOf("1.0.1") != prior.Outputs.Digest.OrZero() {
		t.Error("the tag of the other build is gone")
	}

	// A tag that another instance takes over stays.
	if err := (builder{}).Destroy(w.ctx(), destroyRequest{Config: w.config, Prior: *prior, Transferred: []sdk.Claim{claim}}); err != nil {
		t.Fatal(err)
	}
	if w.digestOf("1.0.1") != prior.Outputs.Digest.OrZero() {
		t.Error("the transferred tag is gone")
	}
}
