package manifests_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/plugins/kubernetes/manifests"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

const address = "application.manifests.web"

// stack is a stack's directory with a source's tree beside it, and what state has of the one application.
type stack struct {
	t      *testing.T
	ctx    context.Context
	call   *sdk.TestCall
	tree   string
	dir    string
	config manifests.Config
	record *sdk.Record[manifests.Config, manifests.Outputs]
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, tree: t.TempDir(), dir: t.TempDir()}
	s.call = &sdk.TestCall{Host: sdk.Host{StackDir: s.dir}}
	s.ctx = s.call.Context(t.Context())
	s.config = manifests.Config{Directory: "out/prod", Config: render.Config{
		Source: sdk.SourceRef{Address: "source.git.repo", Revision: "r1", Tree: sdk.Tree{Path: s.tree}}, Path: "deploy", Namespace: "shop"}}
	return s
}

func (s *stack) write(dir, name, content string) {
	s.t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) plan() sdk.PlanResult[manifests.Outputs] {
	s.t.Helper()
	result, err := manifests.Application{}.Plan(s.ctx, sdk.PlanRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Prior: s.record})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *stack) apply() sdk.PlanResult[manifests.Outputs] {
	s.t.Helper()
	planned := s.plan()
	result, err := manifests.Application{}.Apply(s.ctx, sdk.ApplyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Prior: s.record, Private: planned.Private})
	if err != nil {
		s.t.Fatal(err)
	}
	s.record = &sdk.Record[manifests.Config, manifests.Outputs]{Config: s.config, Outputs: result.Outputs, Private: result.Private}
	return planned
}

// items writes a plan's items as "action file: fields".
func items(p sdk.PlanResult[manifests.Outputs]) []string {
	var out []string
	for _, i := range p.Items {
		var fields []string
		for _, f := range i.Fields {
			fields = append(fields, f.Path)
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s: %s", i.Action, i.Note, strings.Join(fields, " "))))
	}
	return out
}

func (s *stack) files() []string {
	s.t.Helper()
	var names []string
	entries, err := os.ReadDir(filepath.Join(s.dir, "out/prod"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

const (
	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: \"1\"}\n"
	secret    = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2-hunter2}\n"
	pod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: api, image: \"acme/api:dev\"}]}\n"
)

func TestLifeOfADirectory(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", configMap+"---\n"+secret)
	first := s.apply()
	if first.Action != sdk.ActionCreate {
		t.Errorf("the first plan says %s", first.Action)
	}
	want(t, "first plan", items(first), []string{"create configmap-c.yaml: data.a", "create secret-s.yaml: data.password"})
	want(t, "files", s.files(), []string{"configmap-c.yaml", "secret-s.yaml"})
	if info, err := os.Stat(filepath.Join(s.dir, "out/prod/secret-s.yaml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v %v", info, err)
	}

	s.config.Source.Revision = "r2"
	again := s.plan()
	if again.Action != sdk.ActionNone || again.Outputs.Revision != "r1" {
		t.Errorf("an unrelated commit: %s, revision %s", again.Action, again.Outputs.Revision)
	}

	s.write(s.dir, "out/prod/configmap-c.yaml", strings.Replace(configMap, `"1"`, `"by hand"`, 1))
	drift := s.apply()
	want(t, "after an edit", drift.Reasons, []string{"configmap-c.yaml was changed outside of davit"})
	if len(drift.Items) != 1 || drift.Items[0].Fields[0].Before != "by hand" && drift.Items[0].Fields[0].After != "1" {
		t.Errorf("after an edit: %+v", drift.Items)
	}
	if p := s.plan(); p.Action != sdk.ActionNone {
		t.Errorf("the edit was not mended: %v", items(p))
	}

	s.write(s.tree, "deploy/a.yaml", pod)
	pruned := s.apply()
	want(t, "other manifests", items(pruned), []string{"create pod-p.yaml: spec.containers[name=api].image", "delete configmap-c.yaml:", "delete secret-s.yaml:"})
	want(t, "files", s.files(), []string{"pod-p.yaml"})

	s.config.Directory = "out/elsewhere"
	moved := s.apply()
	want(t, "another directory", items(moved), []string{"create pod-p.yaml: spec.containers[name=api].image", "delete out/prod/pod-p.yaml:"})
	want(t, "files in the old directory", s.files(), nil)

	if err := (manifests.Application{}).Destroy(s.ctx, sdk.DestroyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Prior: *s.record}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "out/elsewhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", configMap)
	s.write(s.dir, "out/prod/mine.txt", "mine")
	s.apply()
	if err := (manifests.Application{}).Destroy(s.ctx, sdk.DestroyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Prior: *s.record}); err != nil {
		t.Fatal(err)
	}
	want(t, "files", s.files(), []string{"mine.txt"})
}

func TestAnImageKnownAfterApply(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", pod)
	s.config.Images = map[string]sdk.Value[string]{"acme/api": sdk.UnknownPrefix("reg/api:1@")}
	p := s.plan()
	if f := p.Items[0].Fields[0]; !f.Unknown || f.Prefix != "reg/api:1@" || f.After != nil {
		t.Errorf("the field: %+v", f)
	}
	if i := p.Images[0]; i.Name != "Pod/shop/p:api" || !i.After.IsUnknown() || i.After.Prefix() != "reg/api:1@" {
		t.Errorf("the image: %+v", i)
	}
	s.config.Images["acme/api"] = sdk.Known("reg/api:1@sha256:00")
	if _, err := (manifests.Application{}).Apply(s.ctx, sdk.ApplyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Private: p.Private}); err != nil {
		t.Fatalf("the plan with an unknown image is not applied: %v", err)
	}
	content, err := os.ReadFile(filepath.Join(s.dir, "out/prod/pod-p.yaml"))
	if err != nil || !strings.Contains(string(content), "image: reg/api:1@sha256:00") {
		t.Errorf("%s %v", content, err)
	}
}

func TestOtherManifestsThanPlannedAreRefused(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", configMap)
	p := s.plan()
	s.write(s.tree, "deploy/a.yaml", pod)
	_, err := manifests.Application{}.Apply(s.ctx, sdk.ApplyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Private: p.Private})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != "kubernetes.stale" {
		t.Errorf("got %v", err)
	}
	want(t, "files", s.files(), nil)
}

// TestTheDirectoryCannotBeLeft attacks by configuration, by links and by objects' names.
func TestTheDirectoryCannotBeLeft(t *testing.T) {
	for _, directory := range []string{"", ".", "..", "../x", "out/../../x"} {
		s := newStack(t)
		s.write(s.tree, "deploy/a.yaml", configMap)
		s.config.Directory = directory
		if _, err := (manifests.Application{}).Plan(s.ctx, sdk.PlanRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config}); err == nil {
			t.Errorf("directory %q is accepted", directory)
		}
	}
	t.Run("a link in the stack's directory", func(t *testing.T) {
		s, outside := newStack(t), t.TempDir()
		s.write(s.tree, "deploy/a.yaml", configMap)
		if err := os.Symlink(outside, filepath.Join(s.dir, "out")); err != nil {
			t.Fatal(err)
		}
		if _, err := (manifests.Application{}).Plan(s.ctx, sdk.PlanRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config}); err == nil {
			t.Error("it is followed")
		}
	})
	t.Run("a link in place of a file", func(t *testing.T) {
		s, outside := newStack(t), filepath.Join(t.TempDir(), "precious")
		s.write(s.tree, "deploy/a.yaml", configMap)
		s.write(filepath.Dir(outside), "precious", "precious")
		s.write(s.dir, "out/prod/.keep", "")
		if err := os.Symlink(outside, filepath.Join(s.dir, "out/prod/configmap-c.yaml")); err != nil {
			t.Fatal(err)
		}
		result, err := manifests.Application{}.Plan(s.ctx, sdk.PlanRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config})
		if err == nil {
			_, err = manifests.Application{}.Apply(s.ctx, sdk.ApplyRequest[manifests.Config, manifests.Outputs]{Address: address, Config: s.config, Private: result.Private})
		}
		if content, _ := os.ReadFile(outside); string(content) != "precious" {
			t.Errorf("the file outside was overwritten (%v)", err)
		}
	})
	t.Run("names of objects", func(t *testing.T) {
		s := newStack(t)
		s.write(s.tree, "deploy/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../../escape}\n---\napiVersion: x/v1\nkind: ../Up\nmetadata: {name: system:role}\n")
		s.apply()
		for _, name := range s.files() {
			if strings.ContainsAny(name, "/:\\") {
				t.Errorf("the file %q", name)
			}
		}
		if len(s.files()) != 2 {
			t.Errorf("files %q", s.files())
		}
	})
}

func TestNamesStayApart(t *testing.T) {
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}
---
{apiVersion: one.io/v1, kind: Zone, metadata: {name: z}}
---
{apiVersion: two.io/v1, kind: Zone, metadata: {name: z}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: "x:y"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: "x_y"}}
`)
	s.apply()
	if got := s.files(); len(got) != 6 || !slices.Contains(got, "configmap-other-a.yaml") || !slices.Contains(got, "zone-one.io-shop-z.yaml") {
		t.Errorf("files %q", got)
	}
}

// TestNoSecretLeaves plants a secret and looks for it in everything that goes to davit.
func TestNoSecretLeaves(t *testing.T) {
	const planted = "hunter2-hunter2"
	s := newStack(t)
	s.write(s.tree, "deploy/a.yaml", secret)
	var told []any
	told = append(told, s.apply(), s.record)
	s.write(s.dir, "out/prod/secret-s.yaml", strings.Replace(secret, planted, "hunter2-edited", 1))
	told = append(told, s.apply(), s.record)
	s.write(s.dir, "out/prod/secret-s.yaml", "hunter2-broken: [")
	told = append(told, s.apply(), s.record, s.call.Logs, s.call.Saved, s.call.Items)
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"hunter2", "aHVudGVyMi"} {
		if strings.Contains(string(text), private) {
			t.Errorf("%s left the plugin: %s", private, text)
		}
	}
	if strings.Contains(string(s.record.Private), "hunter2") {
		t.Error("it is in the private bytes")
	}
}
