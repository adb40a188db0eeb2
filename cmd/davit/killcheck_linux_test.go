package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-sh/davit/state"
)

// check looks at what there is in the end.
func (k *killing) check(dir string) {
	k.Helper()
	if out := k.must(dir, "plan"); !strings.Contains(out, "No changes") {
		k.Errorf("the last plan is not empty (seed %d):\n%s", k.seed, out)
	}
	if out := k.must(dir, "state", "operations"); out != "" {
		k.Errorf("operations are left (seed %d):\n%s", k.seed, out)
	}
	var s state.Archive
	if err := json.Unmarshal([]byte(k.must(dir, "state", "pull")), &s); err != nil {
		k.Fatal(err)
	}
	k.operations += perRound
	maps.DeleteFunc(s.Records, func(_ string, r state.Record) bool { return r.Kind != "application" })
	whole := 0
	for _, r := range s.Records {
		if r.Status == state.StatusOK {
			whole++
		}
	}
	if whole != perRound || len(s.Records) != perRound {
		k.lost += perRound - whole
		k.Errorf("%d records, %d of them whole, for %d instances (seed %d)", len(s.Records), whole, perRound, k.seed)
	}
	k.checkHistory(&s)
	if k.place.Stacks == nil {
		k.count(dir, &s)
	}
	k.checkProcesses(dir)
}

// checkHistory wants each instance to have been made once, as far as state tells.
func (k *killing) checkHistory(s *state.Archive) {
	k.Helper()
	revisions := map[string]int{}
	for _, r := range s.History {
		revisions[r.Record.Address]++
	}
	for address := range s.Records {
		if revisions[address] != 1 {
			k.Errorf("%s has %d revisions (seed %d)", address, revisions[address], k.seed)
			return
		}
	}
}

// count compares what was done with what should have been, and with what state says.
func (k *killing) count(dir string, s *state.Archive) {
	k.Helper()
	operations := map[string]string{} // by the name of the instance
	for _, r := range s.History {
		operations[nameOf(r.Record.Address)] = r.Operation
	}
	done := k.effects(dir)
	for n, operation := range operations {
		switch ids := done[n]; {
		case len(ids) == 0:
			k.lost++
		case len(ids) > 1:
			k.repeated += len(ids) - 1
		case ids[0] != operation:
			k.renamed++
		}
	}
	if len(done) != perRound {
		k.Errorf("%d effects for %d operations", len(done), perRound)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		k.Fatal(err)
	}
	made, ids := map[string]int{}, map[string]string{}
	for line := range strings.Lines(string(journal)) {
		f := strings.Fields(line)
		if was := ids[f[1]]; was != "" && was != f[2] {
			k.Errorf("%s was tried by the operations %s and %s (seed %d)", f[1], was, f[2], k.seed)
		}
		ids[f[1]] = f[2]
		switch f[0] {
		case "made":
			if made[f[1]]++; made[f[1]] > 1 {
				k.repeated++
			}
		case "again":
			k.repeated++
		}
	}
}

// nameOf is "e1-42" for application.file.e1[42].
func nameOf(address string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(address, "application."), ".")
	return strings.TrimSuffix(strings.Replace(rest, "[", "-", 1), "]")
}

// effects reads what is there: the ids of the operations that did it, by name.
func (k *killing) effects(dir string) map[string][]string {
	k.Helper()
	done := map[string][]string{}
	into := filepath.Join(dir, "effects")
	if k.effect == "commit" {
		cmd := exec.Command("git", "--git-dir", into, "log", "--format=%(trailers:key=Name,valueonly,separator=) %(trailers:key=Operation,valueonly,separator=)", "main")
		out, err := cmd.CombinedOutput()
		if err != nil {
			k.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			n, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			done[n] = append(done[n], id)
		}
		return done
	}
	files, err := os.ReadDir(into)
	if err != nil {
		k.Fatal(err)
	}
	for _, f := range files {
		id, err := os.ReadFile(filepath.Join(into, f.Name()))
		if err != nil {
			k.Fatal(err)
		}
		done[f.Name()] = []string{string(id)}
	}
	return done
}

// checkProcesses wants none to be left. What was killed a moment ago may need another one to end.
func (k *killing) checkProcesses(dir string) {
	k.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := processes(dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			k.Errorf("processes are left (seed %d): %v", k.seed, left)
			return
		}
	}
}
