package manifests_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/davit-sh/davit/plugins/kubernetes/manifests"
	"github.com/davit-sh/davit/sdk"
)

type (
	applyRequest   = sdk.ApplyRequest[manifests.Config, manifests.Outputs]
	destroyRequest = sdk.DestroyRequest[manifests.Config, manifests.Outputs]
	planRequest    = sdk.PlanRequest[manifests.Config, manifests.Outputs]
)

func words[T ~string](list []T) string {
	var s []string
	for _, x := range list {
		s = append(s, string(x))
	}
	return strings.Join(s, " ")
}

// Each change has the causes that it has, and no reason that is not true.
func TestCauses(t *testing.T) {
	const run = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: api, image: \"acme/api\"}]}\n"
	for name, c := range map[string]struct {
		change  func(s *stack)
		action  sdk.Action
		causes  string
		reasons string
	}{
		"nothing": {func(*stack) {}, sdk.ActionNone, "", ""},
		"an image": {func(s *stack) { s.config.Images = map[string]sdk.Value[string]{"acme/api": sdk.Known("acme/api:2")} },
			sdk.ActionUpdate, "image", "images changed"},
		"an image known after apply": {func(s *stack) {
			s.config.Images = map[string]sdk.Value[string]{"acme/api": sdk.UnknownPrefix("acme/api:")}
		},
			sdk.ActionUpdate, "image", "images changed"},
		"the files": {func(s *stack) {
			s.config.Source.Tree.Digest = "sha256:2"
			s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+strings.Replace(run, "name: p}", "name: p, labels: {a: b}}", 1))
		}, sdk.ActionUpdate, "source", "the manifests changed"},
		"the files and an image": {func(s *stack) {
			s.config.Source.Tree.Digest = "sha256:2"
			s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+strings.Replace(run, "name: p}", "name: p, labels: {a: b}}", 1))
			s.config.Images = map[string]sdk.Value[string]{"acme/api": sdk.Known("acme/api:2")}
		}, sdk.ActionUpdate, "image source", "images changed; the manifests changed"},
		"an argument": {func(s *stack) { s.config.Labels = map[string]string{"team": "x"} }, sdk.ActionUpdate, "config", "the manifests changed"},
		"an edit":     {func(s *stack) { s.write(s.dir, "out/prod/pod-p.yaml", run+"# by hand\n") }, sdk.ActionUpdate, "drift", "pod-p.yaml was changed outside of davit"},
		"a file that is gone": {func(s *stack) { _ = os.Remove(filepath.Join(s.dir, "out/prod/pod-p.yaml")) },
			sdk.ActionUpdate, "drift", "pod-p.yaml was deleted outside of davit"},
		"an object that is gone": {func(s *stack) {
			s.config.Source.Tree.Digest = "sha256:2"
			s.write(s.tree, "deploy/a.yaml", run)
		}, sdk.ActionUpdate, "source", "the manifests changed; configmap-c.yaml is no longer rendered"},
		"another directory": {func(s *stack) { s.config.Directory = "out/next" },
			sdk.ActionUpdate, "config", `directory changes from "out/prod" to "out/next"`},
		"the same directory": {func(s *stack) { s.config.Directory = "./out//prod/" }, sdk.ActionNone, "", ""},
		"the same, absolute": {func(s *stack) { s.config.Directory = filepath.Join(s.dir, "out/prod") }, sdk.ActionNone, "", ""},
		"a cut-off apply":    {func(s *stack) { s.record.Outputs.Health = sdk.Known("InProgress") }, sdk.ActionUpdate, "retry", "the last apply did not write all files"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.config.Source.Tree.Digest = "sha256:1"
			s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+run)
			first := s.apply()
			if words(first.Causes) != "new" {
				t.Errorf("the first plan has the causes %q", first.Causes)
			}
			c.change(s)
			p := s.plan()
			if p.Action != c.action || words(p.Causes) != c.causes || strings.Join(p.Reasons, "; ") != c.reasons {
				t.Errorf("%s, causes %q, reasons %q; want %s, %q, %q", p.Action, p.Causes, p.Reasons, c.action, c.causes, c.reasons)
			}
			if want := first.Claims; name != "another directory" && name != "an object that is gone" && !slices.Equal(p.Claims, want) {
				t.Errorf("the claims are %q, before %q", p.Claims, want)
			}
		})
	}
}

// An application claims its directory and its files, by their absolute paths.
func TestClaims(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", configMap)
	p := s.apply()
	dir := filepath.Join(s.dir, "out/prod")
	if want := "file:" + dir + " file:" + dir + "/configmap-c.yaml"; words(p.Claims) != want {
		t.Errorf("got %q, want %q", p.Claims, want)
	}
	if c := p.Items[0].Claim; c != p.Claims[1] {
		t.Errorf("the item stands for %q", c)
	}
}

// A file that somebody has changed is not removed with the application.
func TestAChangedFileStays(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+secret)
	s.apply()
	s.write(s.dir, "out/prod/configmap-c.yaml", strings.Replace(configMap, `"1"`, `"precious"`, 1))
	p, err := manifests.Application{}.Plan(s.ctx, planRequest{Address: address, Config: s.config, Prior: s.record, Destroy: true})
	if err != nil || words(p.Causes) != "removed" {
		t.Fatalf("%v, %v", p.Causes, err)
	}
	want(t, "items", items(p), []string{"none configmap-c.yaml was changed since davit wrote it, so it stays:", "delete secret-s.yaml:"})
	if err := (manifests.Application{}).Destroy(s.ctx, destroyRequest{Address: address, Config: s.config, Prior: *s.record}); err != nil {
		t.Fatal(err)
	}
	want(t, "files", s.files(), []string{"configmap-c.yaml"})
}

// rounds is how often the two operations of a transfer are carried out at the same time: 30, or what the environment
// variable DAVIT_ROUNDS says.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("DAVIT_ROUNDS")
	if text == "" {
		return 30
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// both carries two operations out at the same time.
func both(t *testing.T, a, b func() error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, f := range []func() error{a, b} {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// given are the claims in one list that are also in another.
func given(from, to []sdk.Claim) []sdk.Claim {
	return slices.DeleteFunc(slices.Clone(from), func(c sdk.Claim) bool { return !slices.Contains(to, c) })
}

// Renaming an application loses no file: the old one is destroyed while the new one is applied, in any order.
func TestRenameLosesNoFile(t *testing.T) {
	lost := 0
	for range rounds(t) {
		s := newStack(t)
		s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+pod)
		before := s.apply()
		next := planRequest{Address: "application.manifests.next", Config: s.config}
		p, err := manifests.Application{}.Plan(s.ctx, next)
		if err != nil {
			t.Fatal(err)
		}
		both(t, func() error {
			return manifests.Application{}.Destroy(s.ctx, destroyRequest{Address: address, Config: s.config, Prior: *s.record, Transferred: given(before.Claims, p.Claims)})
		}, func() error {
			_, err := manifests.Application{}.Apply(s.ctx, applyRequest{Address: next.Address, Config: next.Config, Private: p.Private, Planned: p.Outputs})
			return err
		})
		if len(s.files()) != 2 {
			lost++
		}
	}
	t.Logf("%d rounds, %d lost files", rounds(t), lost)
	if lost > 0 {
		t.Errorf("%d of %d rounds lost files", lost, rounds(t))
	}
}

// Swapping the directories of two applications loses no file, though both have files of the same names.
func TestSwapLosesNoFile(t *testing.T) {
	lost := 0
	for range rounds(t) {
		a, b := newStack(t), newStack(t)
		b.dir, b.call.Host.StackDir = a.dir, a.dir
		b.ctx = b.call.Context(t.Context())
		a.config.Directory, b.config.Directory = "out/one", "out/two"
		a.write(a.tree, "deploy/a.yaml", configMap+"---\n"+pod)
		b.write(b.tree, "deploy/a.yaml", configMap) // the same file as a's
		had := map[*stack][]sdk.Claim{a: a.apply().Claims, b: b.apply().Claims}
		a.config.Directory, b.config.Directory = "out/two", "out/one"
		plans := map[*stack]sdk.PlanResult[manifests.Outputs]{a: a.plan(), b: b.plan()}
		swap := func(s, other *stack) func() error {
			return func() error {
				_, err := manifests.Application{}.Apply(s.ctx, applyRequest{
					Address: address, Config: s.config, Prior: s.record, Private: plans[s].Private, Transferred: given(had[s], plans[other].Claims),
				})
				return err
			}
		}
		both(t, swap(a, b), swap(b, a))
		for name, want := range map[string]bool{"two/configmap-c.yaml": true, "two/pod-p.yaml": true, "one/configmap-c.yaml": true, "one/pod-p.yaml": false} {
			if _, err := os.Stat(filepath.Join(a.dir, "out", name)); (err == nil) != want {
				lost++
				t.Errorf("%s is there: %v", name, err == nil)
			}
		}
	}
	t.Logf("%d rounds, %d wrong files", rounds(t), lost)
}
