package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/statetest"
)

const stacksHead = `davit {
  required_plugins {
    kill = { source = "./plugins/killplugin" }
  }
}
`

// Random stacks with modules, for_each, create_before_destroy, replacements and moves are changed at random, and the apply of the change is
// killed again and again. A simple model says which order is right and what must be there in the end.
func TestKilledApplyOfRandomStacks(t *testing.T) {
	rounds := 30
	if text := os.Getenv(killsEnv); text != "" {
		rounds = number(t, killsEnv, text)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(killSeedEnv); text != "" {
		seed = uint64(number(t, killSeedEnv, text))
	}
	t.Parallel()
	k := newKilling(t, killPlace{Backend: "local"}, "thing", seed)
	k.moment = func(dir string, _ *said) func() bool {
		if k.rand.IntN(4) == 0 {
			end := time.Now().Add(time.Duration(k.rand.Int64N(int64(k.full))))
			return func() bool { return time.Now().After(end) }
		}
		before, more := len(k.journalOf(dir)), 1+k.rand.IntN(6)
		late := time.Now().Add(time.Duration(k.rand.Int64N(int64(12 * time.Millisecond)))) // somewhere in a step
		return func() bool {
			if len(k.journalOf(dir)) < before+more {
				late = time.Now().Add(time.Duration(k.rand.Int64N(int64(12 * time.Millisecond))))
				return false
			}
			return time.Now().After(late)
		}
	}
	var total stacksResult
	for range rounds {
		total.add(k.randomStack())
	}
	statetest.Numbers(t, "killed apply of random stacks: %d rounds, %d kills (%d of the core, %d of the plugin, %d of both, %d of all groups), %d steps, %d replaced instances, "+
		"%d moved blocks; %d wrong orders, %d stale records, %d wrong things, %d second plans that are not empty; seed %d",
		rounds, k.kills(), k.killed["core"], k.killed["plugin"], k.killed["both"], k.killed["groups"], total.steps, total.replaced, total.moved,
		total.orders, total.stale, total.things, total.unsettled, seed)
}

type stacksResult struct{ steps, replaced, moved, orders, stale, things, unsettled int }

func (r *stacksResult) add(o stacksResult) {
	r.steps, r.replaced, r.moved = r.steps+o.steps, r.replaced+o.replaced, r.moved+o.moved
	r.orders, r.stale, r.things, r.unsettled = r.orders+o.orders, r.stale+o.stale, r.things+o.things, r.unsettled+o.unsettled
}

// randomStack is one round.
func (k *killing) randomStack() (res stacksResult) {
	k.Helper()
	k.rounds++
	r := rand.New(rand.NewPCG(k.seed, uint64(k.rounds)))
	dir := k.TempDir()
	plugin, err := exec.LookPath("killplugin")
	for _, d := range []string{"things", "m", "plugins"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	if err := errors.Join(err, os.Symlink(plugin, filepath.Join(dir, "plugins", "killplugin"))); err != nil {
		k.Fatal(err)
	}
	before := newModelStack(r)
	k.write(dir, before.text(nil, dir, stacksHead))
	k.must(dir, "init")
	k.must(dir, "apply", "-auto-approve")
	was, err := things(filepath.Join(dir, "things"))
	if err != nil {
		k.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "journal")); err != nil && !errors.Is(err, os.ErrNotExist) {
		k.Fatal(err)
	}
	now := before.next(r)
	k.write(dir, now.text(before, dir, stacksHead))
	k.must(dir, "init")
	for range 1 + r.IntN(5) {
		if k.runAndKill(dir) {
			break
		}
	}
	k.must(dir, "apply", "-auto-approve")
	failed := func(count *int, format string, args ...any) {
		*count++
		k.Errorf("round %d, seed %d: %s", k.rounds, k.seed, fmt.Sprintf(format, args...))
	}
	for _, step := range k.journalOf(dir) {
		res.steps++
		if wrong := now.wrongOrder(before, step); wrong != "" {
			failed(&res.orders, "%s", wrong)
		}
	}
	for i := range now {
		if before[i].There && now[i].There && before.label(i) != now.label(i) {
			res.moved++
		}
	}
	k.checkThings(dir, before, now, was, &res, failed)
	if out := k.must(dir, "plan"); !strings.Contains(out, "No changes") || strings.Contains(out, "out of date") {
		failed(&res.unsettled, "the second plan is not empty:\n%s", out)
	}
	if out := k.must(dir, "state", "operations"); out != "" {
		failed(&res.stale, "operations are left:\n%s", out)
	}
	k.checkProcesses(dir)
	return res
}

// checkThings compares what runs with the model, and the records with what runs.
func (k *killing) checkThings(dir string, before, now modelStack, was map[string]string, res *stacksResult, failed func(*int, string, ...any)) {
	k.Helper()
	is, err := things(filepath.Join(dir, "things"))
	if err != nil {
		k.Fatal(err)
	}
	want := map[string]string{} // by address
	for i, b := range now {
		for _, key := range b.Keys {
			address := fmt.Sprintf("application.thing.%s[%q]", now.label(i), key)
			if isInModule(i) {
				address = "module.m." + address
			}
			want[address] = fmt.Sprintf("n%d-%s.", i, key)
		}
	}
	find := func(in map[string]string, id string) (names []string) {
		for name := range in {
			if strings.HasPrefix(name, id) {
				names = append(names, name)
			}
		}
		return names
	}
	var s state.Archive
	if err := json.Unmarshal([]byte(k.must(dir, "state", "pull")), &s); err != nil {
		k.Fatal(err)
	}
	for _, address := range slices.Sorted(maps.Keys(want)) {
		id := want[address]
		i, _ := thingAt(id)
		names := find(is, id)
		if len(names) != 1 {
			failed(&res.things, "there are %d things %s: %v", len(names), id, names)
			continue
		}
		var deps []string
		for _, j := range now[i].Deps {
			for _, key := range now[j].Keys {
				deps = append(deps, find(is, fmt.Sprintf("n%d-%s.", j, key))...)
			}
		}
		if content := fmt.Sprintf("v%d %s", now[i].Version, strings.Join(deps, ",")); is[names[0]] != content {
			failed(&res.things, "%s is %q, want %q", names[0], is[names[0]], content)
		}
		if old := find(was, id); len(old) == 1 {
			if replaced := old[0] != names[0]; replaced != now.fires(before, i) {
				failed(&res.things, "%s was replaced: %t, want %t", id, replaced, !replaced)
			} else if replaced {
				res.replaced++
			}
		}
		rec, there := s.Records[address]
		if !there || rec.Status != state.StatusOK {
			failed(&res.stale, "the record of %s is %+v", address, rec)
			continue
		}
		outputs, err1 := types.Decode(rec.Outputs)
		config, err2 := types.Decode(rec.Config)
		if err := errors.Join(err1, err2); err != nil {
			k.Fatal(err)
		}
		recorded := []string{}
		for _, v := range config.GetAttr("deps").AsValueSlice() {
			recorded = append(recorded, v.AsString())
		}
		if name := outputs.GetAttr("name").AsString(); name != names[0] || config.GetAttr("version").AsString() != fmt.Sprintf("v%d", now[i].Version) || !slices.Equal(recorded, append([]string{}, deps...)) {
			failed(&res.stale, "the record of %s is of %s made from %v, and %s of %v runs", address, name, recorded, names[0], deps)
		}
	}
	for address, rec := range s.Records {
		if want[address] == "" && rec.Kind == "application" {
			failed(&res.stale, "there is a record of %s, which is not in the stack", address)
		}
	}
	if len(is) != len(want) {
		failed(&res.things, "there are %d things, want %d: %v", len(is), len(want), slices.Sorted(maps.Keys(is)))
	}
}

func (k *killing) journalOf(dir string) (list []thingStep) {
	k.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			continue // it is being written
		}
		var s thingStep
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			k.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func (k *killing) write(dir string, files map[string]string) {
	k.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			k.Fatal(err)
		}
	}
}
