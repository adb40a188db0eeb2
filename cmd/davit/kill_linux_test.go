package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/state/statetest"
)

// The kill test can be told, through the environment, how often to kill (DAVIT_KILLS), with which random numbers
// (DAVIT_KILL_SEED), and to work elsewhere than on files and commits with the local state (DAVIT_KILL_PLACE, a file
// with a killPlace as JSON; acceptance/kill does that).
const (
	killsEnv     = "DAVIT_KILLS"
	killSeedEnv  = "DAVIT_KILL_SEED"
	killPlaceEnv = "DAVIT_KILL_PLACE"
)

// killPlace is where an apply is killed.
type killPlace struct {
	Backend string   // for the report: "local"
	State   string   // the state block; %s is a name that is new in each round
	Env     []string // for davit, besides
	Effects []string // "file", "commit"
	// Stacks are folders with stacks whose effects somebody else counts: one a round, in place of Effects.
	Stacks []string
	// Expires says that the lock of a killed process expires by time alone. All but the last of each round are ended by
	// force-unlock then, so as not to wait half a minute for each.
	Expires bool
}

// An apply that is killed at any moment, whatever of it is killed, is gone on with by the next one: everything is done,
// and once.
func TestKilledApply(t *testing.T) {
	p := killPlace{Backend: "local", Effects: []string{"file", "commit"}}
	if file := os.Getenv(killPlaceEnv); file != "" {
		text, err := os.ReadFile(file)
		if err := errors.Join(err, json.Unmarshal(text, &p)); err != nil {
			t.Fatal(err)
		}
	}
	kills := 30
	if text := os.Getenv(killsEnv); text != "" {
		kills = number(t, killsEnv, text)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(killSeedEnv); text != "" {
		seed = uint64(number(t, killSeedEnv, text))
	}
	if len(p.Stacks) > 0 {
		k := newKilling(t, p, "objects", seed)
		for i, dir := range p.Stacks {
			k.round(dir, kills*(i+1)/len(p.Stacks))
		}
		k.report()
		return
	}
	for _, e := range p.Effects {
		t.Run(e, func(t *testing.T) {
			t.Parallel()
			k := newKilling(t, p, e, seed)
			for k.kills() < kills {
				k.round(k.newStack(), kills)
			}
			k.report()
		})
	}
}

func number(t *testing.T, name, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// perRound is how many operations a round has, and most how many kills one round takes.
const (
	perRound = 200
	most     = 12
)

// killing is one run of the kill test.
type killing struct {
	*testing.T
	place  killPlace
	effect string
	seed   uint64
	rand   *rand.Rand
	full   time.Duration                           // that an apply takes, as far as was seen
	moment func(dir string, out *said) func() bool // chooses when to kill

	killed                            map[string]int
	rounds, operations, runs, waited  int
	lost, repeated, renamed, unlocked int
}

func newKilling(t *testing.T, p killPlace, effect string, seed uint64) *killing {
	t.Helper()
	k := &killing{T: t, place: p, effect: effect, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), full: 2 * time.Second, killed: map[string]int{}}
	k.moment = k.someMoment
	return k
}

func (k *killing) kills() int {
	n := 0
	for _, c := range k.killed {
		n += c
	}
	return n
}

func (k *killing) report() {
	statetest.Numbers(k, "killed apply: %s effects, %s state: %d kills (%d of the core, %d of the plugin, %d of both, %d of all groups), %d operations in %d rounds, %d runs; "+
		"%d lost, %d repeated, %d with another id; locks waited for: %d, ended by force: %d; seed %d",
		k.effect, k.place.Backend, k.kills(), k.killed["core"], k.killed["plugin"], k.killed["both"], k.killed["groups"], k.operations, k.rounds, k.runs,
		k.lost, k.repeated, k.renamed, k.waited, k.unlocked, k.seed)
	if k.lost+k.repeated+k.renamed > 0 {
		k.Errorf("%d effects lost, %d repeated, %d with the id of an operation that is not in the history; seed %d", k.lost, k.repeated, k.renamed, k.seed)
	}
}

// newStack writes a stack whose second half waits for its first.
func (k *killing) newStack() string {
	dir := k.TempDir()
	into := filepath.Join(dir, "effects")
	if k.effect == "commit" {
		if out, err := exec.Command("git", "init", "-q", "--bare", into).CombinedOutput(); err != nil {
			k.Fatalf("%v: %s", err, out)
		}
	} else if err := os.Mkdir(into, 0o700); err != nil {
		k.Fatal(err)
	}
	where := k.place.State
	if strings.Contains(where, "%s") {
		where = fmt.Sprintf(where, fmt.Sprintf("round-%d-%d-%d", os.Getpid(), k.rand.Uint32(), k.rounds))
	}
	text := fmt.Sprintf(`davit {
  required_plugins {
    kill = { source = "./plugins/killplugin" }
  }
  %s
}
`, where)
	for i, wait := range []string{"", "depends_on = [application.%[1]s.e0]"} {
		text += fmt.Sprintf(`application "%[1]s" "e%[2]d" {
  count   = %[3]d
  name    = "e%[2]d-${count.index}"
  into    = "%[4]s/effects"
  journal = "%[4]s/journal"
  %[5]s
}
`, k.effect, i, perRound/2, dir, strings.ReplaceAll(wait, "%[1]s", k.effect))
	}
	plugin, err := exec.LookPath("killplugin")
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "davit.hcl"), []byte(text), 0o600), os.Mkdir(filepath.Join(dir, "plugins"), 0o700),
		os.Symlink(plugin, filepath.Join(dir, "plugins", "killplugin")))
	if err != nil {
		k.Fatal(err)
	}
	return dir
}

// round applies one stack and kills it, until it has been killed often enough, and then lets it end.
func (k *killing) round(dir string, until int) {
	k.Helper()
	k.rounds++
	k.must(dir, "init")
	for n := 0; n < most && k.kills() < until; n++ {
		k.unlock(dir)
		if k.runAndKill(dir) {
			break
		}
	}
	args := []string{"apply", "-auto-approve"}
	if k.place.Expires {
		args = append(args, "-lock-timeout=2m")
		k.waited++
	}
	k.must(dir, args...)
	k.check(dir)
}

// runAndKill starts an apply and kills something of it. It tells whether the apply was faster, and had nothing left to do.
func (k *killing) runAndKill(dir string) (done bool) {
	var out said
	cmd := k.command(dir, "apply", "-auto-approve")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		k.Fatal(err)
	}
	k.runs++
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	moment := k.moment(dir, &out)
	what := []string{"core", "plugin", "both", "groups"}[k.rand.IntN(4)]
	for {
		select {
		case err := <-ended:
			if err != nil {
				k.Fatalf("an apply that was not killed failed: %v\n%s", err, &out)
			}
			k.full = (k.full + time.Since(begun)) / 2
			return true
		case <-time.After(500 * time.Microsecond):
		}
		if !moment() {
			continue
		}
		if !kill(cmd.Process.Pid, what) {
			continue // there is no plugin yet
		}
		select {
		case err := <-ended:
			if err == nil {
				return true // it was over a moment before
			}
			k.killed[what]++
		case <-time.After(time.Minute):
			k.Fatalf("davit did not end within a minute after the %s was killed:\n%s", what, &out)
		}
		return false
	}
}

// someMoment chooses when to kill: after some time, or when some more has been done.
func (k *killing) someMoment(dir string, out *said) func() bool {
	end := time.Now().Add(time.Duration(k.rand.Int64N(int64(k.full))))
	steps := k.rand.IntN(perRound / 2)
	progress := func() int {
		out.mu.Lock()
		defer out.mu.Unlock()
		return 2 * out.made
	}
	if k.place.Stacks == nil {
		progress = func() int {
			info, err := os.Stat(filepath.Join(dir, "journal"))
			if err != nil {
				return 0
			}
			return int(info.Size()) / len("made e1-42 01234567-89ab-cdef-0123-456789abcdef\n")
		}
	}
	if k.rand.IntN(4) == 0 {
		return func() bool { return time.Now().After(end) }
	}
	before := progress()
	return func() bool { return progress()-before > steps }
}

// kill kills the core, its plugins, both, or the process groups of all of them.
func kill(core int, what string) bool {
	plugins := children(core)
	if len(plugins) == 0 && what != "core" {
		return false
	}
	if what == "groups" {
		for _, p := range plugins {
			_ = syscall.Kill(-p, syscall.SIGKILL)
		}
		return syscall.Kill(-core, syscall.SIGKILL) == nil
	}
	if what != "core" {
		for _, p := range plugins {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
	}
	return what == "plugin" || syscall.Kill(core, syscall.SIGKILL) == nil
}

func (k *killing) command(dir string, args ...string) *exec.Cmd {
	davit, err := exec.LookPath("davit")
	if err != nil {
		k.Fatal(err)
	}
	cmd := exec.Command(davit, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append([]string{"HOME=" + dir, "DAVIT_CACHE_DIR=" + filepath.Join(dir, ".cache")}, k.place.Env...)...)
	return cmd
}

func (k *killing) run(dir string, args ...string) (stdout, stderr string, err error) {
	cmd := k.command(dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (k *killing) must(dir string, args ...string) string {
	k.Helper()
	out, errs, err := k.run(dir, args...)
	if err != nil {
		k.Fatalf("davit %v: %v (seed %d)\n%s%s", args, err, k.seed, out, errs)
	}
	return out
}

var reLock = regexp.MustCompile(`davit force-unlock ([0-9a-f-]+)`)

// unlock ends the lock of a process that was killed, where only time would. Everywhere else there is none.
func (k *killing) unlock(dir string) {
	if !k.place.Expires {
		return
	}
	_, errs, err := k.run(dir, "state", "rm", "application.file.none")
	if m := reLock.FindStringSubmatch(errs); err != nil && m != nil {
		k.must(dir, "force-unlock", m[1])
		k.unlocked++
	}
}
