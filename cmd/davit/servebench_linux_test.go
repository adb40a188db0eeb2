package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/state/statetest"
)

// manyFiles writes a stack of n files whose content is read from one input each.
func (k *killing) manyFiles(n int) string {
	k.Helper()
	dir := k.TempDir()
	plugin := k.command(dir, "x").Path
	text := "davit {\n  required_plugins {\n    test = { source = \"./plugins/testplugin\" }\n  }\n}\n" +
		fmt.Sprintf("application \"file\" \"f\" {\n  count   = %d\n  path    = \"f-${count.index}.txt\"\n  content = count.index == 0 ? file(\"in.txt\") : \"same\"\n}\n", n)
	for name, content := range map[string]string{"davit.hcl": text, "in.txt": "0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			k.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o700); err != nil {
		k.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(plugin), "testplugin"), filepath.Join(dir, "plugins", "testplugin")); err != nil {
		k.Fatal(err)
	}
	k.must(dir, "init")
	return dir
}

// measured is what a process and its children use: CPU time, and anonymous memory in kB.
func measured(t *testing.T, pid int) (cpu time.Duration, anon int) {
	t.Helper()
	for _, p := range append(children(pid), pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // it has ended
		}
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, ticks := range f[11:13] {
			n, err := strconv.Atoi(ticks)
			if err != nil {
				t.Fatal(err)
			}
			cpu += time.Duration(n) * 10 * time.Millisecond
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				n, err := strconv.Atoi(strings.Fields(rest)[0])
				if err != nil {
					t.Fatal(err)
				}
				anon += n
			}
		}
	}
	return cpu, anon
}

// Many reconciles of a loop leave its memory where it was: the slope is printed. DAVIT_RECONCILES says how many.
func TestServeMemoryIsFlat(t *testing.T) {
	passes := 200
	if text := os.Getenv("DAVIT_RECONCILES"); text != "" {
		passes = number(t, "DAVIT_RECONCILES", text)
	}
	k := newKilling(t, killPlace{Backend: "local"}, "file", 0)
	dir := k.manyFiles(20)
	s := k.serve(dir)
	defer func() { kill(s.Process.Pid, "groups"); <-s.ended }()
	k.untilSynced(dir, s)
	var x, y []float64
	for n := range passes {
		if n%2 == 0 { // every other reconcile applies something
			if err := os.WriteFile(filepath.Join(dir, "in.txt"), fmt.Appendf(nil, "%d", n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k.must(dir, "sync", "-wait")
		if n >= passes/10 { // what is kept is there by then
			_, anon := measured(t, s.Process.Pid)
			x, y = append(x, float64(n)), append(y, float64(anon))
		}
	}
	statetest.Numbers(t, "davit serve, %d reconciles, every other one with a change: anonymous memory of all processes %.1f MB at first, %.1f MB at last, slope %.2f kB a reconcile",
		passes, y[0]/1000, y[len(y)-1]/1000, slope(x, y))
}

func (k *killing) untilSynced(dir string, s *serving) {
	k.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, errs, err := k.run(dir, "sync", "-wait"); err == nil {
			return
		} else if time.Now().After(deadline) {
			k.Fatalf("the loop does not come up: %v\n%s\n%s", err, errs, &s.out)
		}
	}
}

// slope is that of the straight line nearest to points.
func slope(x, y []float64) float64 {
	var mx, my, num, den float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(y))
	}
	for i := range x {
		num, den = num+(x[i]-mx)*(y[i]-my), den+(x[i]-mx)*(x[i]-mx)
	}
	return num / den
}

// What an idle loop costs, and how long a changed input takes until it is applied, is printed.
func TestServeFigures(t *testing.T) {
	const instances, looks, changes = 200, 10, 10
	k := newKilling(t, killPlace{Backend: "local"}, "file", 0)
	dir := k.manyFiles(instances)
	s := k.serve(dir) // at an interval of a second
	defer func() { kill(s.Process.Pid, "groups"); <-s.ended }()
	k.untilSynced(dir, s)
	before, _ := measured(t, s.Process.Pid)
	time.Sleep(looks * time.Second)
	after, _ := measured(t, s.Process.Pid)
	var took time.Duration
	for n := range changes {
		text := fmt.Sprintf("change %d", n)
		begun := time.Now()
		if err := os.WriteFile(filepath.Join(dir, "in.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k.must(dir, "sync", filepath.Base(dir), "application.file.f[0]")
		for {
			if got, err := os.ReadFile(filepath.Join(dir, "f-0.txt")); err == nil && string(got) == text {
				break
			}
			if time.Since(begun) > time.Minute {
				t.Fatalf("the change was not applied:\n%s", &s.out)
			}
			time.Sleep(time.Millisecond)
		}
		took += time.Since(begun)
	}
	statetest.Numbers(t, "davit serve, %d instances: %.1f ms of CPU for each look at all of them; a changed input, the order included, is applied after %.0f ms (mean of %d)",
		instances, float64((after-before).Milliseconds())/looks, float64(took.Milliseconds())/changes, changes)
}
