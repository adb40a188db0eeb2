// Command bench measures davit side by side with terraform and tofu, where they are on PATH: the same work, on
// the same machine, in one run. It prints Markdown.
//
// The work is N managed blocks that do nothing: separate ones in chains of ten, one block with for_each, and a
// pair of blocks with for_each of which each instance of one reads one of the other. The peers' terraform_data lives in
// their own process; davit's plugin is a process of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	n := flag.Int("n", 1000, "how many instances")
	shapes := flag.String("shapes", "chains,each,pair", "which `shapes` of work")
	tools := flag.String("tools", "davit,terraform,tofu", "which `tools`; those that are not on PATH are left out")
	limit := flag.Duration("limit", 5*time.Minute, "how long one command may take")
	scale := flag.String("scale", "1000,5000,10000,50000", "`numbers` of instances for davit's own growth; empty: leave it out")
	flag.Parse()
	if err := run(*n, strings.Split(*shapes, ","), strings.Split(*tools, ","), *limit, *scale); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(n int, shapes, names []string, limit time.Duration, scale string) error {
	work, err := os.MkdirTemp("", "davit-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tools, err := prepare(work, names)
	if err != nil {
		return err
	}
	fmt.Printf("%s/%s, %d cores, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, t := range tools {
		out, _ := exec.Command(t.path, "version").Output() //nolint:gosec // the tools that are measured
		first, _, _ := strings.Cut(string(out), "\n")
		fmt.Println("- " + first)
	}
	for _, shape := range shapes {
		if err := compare(work, tools, shape, n, limit); err != nil {
			return err
		}
	}
	if scale == "" {
		return nil
	}
	return growth(work, tools[0], scale, limit)
}

// tool is what is measured.
type tool struct {
	name, path string
	env        []string
}

// prepare builds davit and its plugin, and finds the peers.
func prepare(work string, names []string) ([]tool, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	for name, pkg := range map[string]string{"davit": "./cmd/davit", "noop": "./examples/plugins/noop"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(work, name), pkg) //nolint:gosec // our own
		build.Dir, build.Env, build.Stderr = root, append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", pkg, err)
		}
	}
	var tools []tool
	for _, name := range names {
		if name == "davit" {
			tools = append(tools, tool{name, filepath.Join(work, "davit"), []string{"DAVIT_CACHE_DIR=" + filepath.Join(work, "cache")}})
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			tools = append(tools, tool{name, path, []string{"CHECKPOINT_DISABLE=1"}})
		}
	}
	return tools, nil
}

// The steps of one comparison.
var steps = []string{"plan", "apply", "unchanged plan", "one change"}

// compare prints a table of all tools at one kind of work.
func compare(work string, tools []tool, shape string, n int, limit time.Duration) error {
	results := map[string]map[string]measured{}
	for _, t := range tools {
		dir := filepath.Join(work, t.name+"-"+shape)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := write(dir, t.name, shape, n, "x"); err != nil {
			return err
		}
		if m := measure(dir, t, limit, "init"); m.err != nil {
			return fmt.Errorf("%s init: %w", t.name, m.err)
		}
		results[t.name] = map[string]measured{}
		for _, step := range steps {
			args := []string{"plan"}
			switch step {
			case "apply":
				args = []string{"apply", "-auto-approve"}
			case "one change":
				if err := write(dir, t.name, shape, n, "y"); err != nil {
					return err
				}
			}
			m := measure(dir, t, limit, args...)
			if step != "apply" && m.err == nil && m.wall < quick {
				m.wall = best(dir, t, limit, args...)
			}
			results[t.name][step] = m
			if m.err != nil && !m.over {
				return fmt.Errorf("%s %s: %w", t.name, step, m.err)
			}
			if m.over && step == "apply" {
				break // what comes after needs it
			}
		}
	}
	fmt.Printf("\n### %s, %d instances\n\n| |", shape, n)
	for _, t := range tools {
		fmt.Printf(" %s |", t.name)
	}
	fmt.Printf(" fastest peer / davit | leanest peer / davit |\n|---|%s---|---|\n", strings.Repeat("---|", len(tools)))
	for _, step := range steps {
		fmt.Printf("| %s |", step)
		for _, t := range tools {
			fmt.Printf(" %s |", results[t.name][step])
		}
		fmt.Printf(" %s | %s |\n", ratio(results, step, func(m measured) float64 { return m.wall.Seconds() }), ratio(results, step, func(m measured) float64 { return float64(m.memory) }))
	}
	return nil
}

// ratio compares the best peer with davit.
func ratio(results map[string]map[string]measured, step string, of func(measured) float64) string {
	best, over := math.Inf(1), ""
	for name, r := range results {
		m, ok := r[step]
		if name == "davit" || !ok {
			continue
		}
		if v := of(m); v < best {
			best, over = v, ""
			if m.over {
				over = "> "
			}
		}
	}
	own := of(results["davit"][step])
	if math.IsInf(best, 1) || own == 0 {
		return "-"
	}
	return fmt.Sprintf("%s%.1f", over, best/own)
}

// growth fits how davit's time to plan grows with the number of instances.
func growth(work string, t tool, scale string, limit time.Duration) error {
	fmt.Printf("\n### davit alone, chains\n\n| instances | plan | memory |\n|---|---|---|\n")
	var xs, ys []float64
	for _, text := range strings.Split(scale, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		dir := filepath.Join(work, "scale-"+text)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := write(dir, "davit", "chains", n, "x"); err != nil {
			return err
		}
		if m := measure(dir, t, limit, "init"); m.err != nil {
			return m.err
		}
		m := measure(dir, t, limit, "plan")
		if m.err != nil {
			return m.err
		}
		fmt.Printf("| %d | %.2f s | %d MB |\n", n, m.wall.Seconds(), m.memory>>20)
		xs, ys = append(xs, math.Log(float64(n))), append(ys, math.Log(m.wall.Seconds()))
	}
	fmt.Printf("\nTime grows as N^%.2f (least squares over the logarithms).\n", slope(xs, ys))
	return nil
}

func slope(xs, ys []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i := range xs {
		sx, sy, sxx, sxy = sx+xs[i], sy+ys[i], sxx+xs[i]*xs[i], sxy+xs[i]*ys[i]
	}
	n := float64(len(xs))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// measured is what one command took.
type measured struct {
	wall   time.Duration
	memory int64 // bytes: the most that the process and its children had at once, shared pages counted once
	over   bool  // it was ended because it took too long
	err    error
}

func (m measured) String() string {
	switch {
	case m.wall == 0:
		return "-"
	case m.over:
		return fmt.Sprintf("> %.0f s", m.wall.Seconds())
	}
	return fmt.Sprintf("%.2f s, %d MB", m.wall.Seconds(), m.memory>>20)
}

// quick is what can be measured more than once. Sampling the memory of a process slows it: what is quick is timed apart from it.
const quick = 20 * time.Second

// best is the best time of three runs whose memory nobody looks at.
func best(dir string, t tool, limit time.Duration, args ...string) time.Duration {
	least := limit
	for range 3 {
		cmd := exec.Command(t.path, args...) //nolint:gosec // the tools that are measured
		cmd.Dir, cmd.Env = dir, append(os.Environ(), t.env...)
		started := time.Now()
		if cmd.Run() == nil {
			least = min(least, time.Since(started))
		}
	}
	return least
}

// measure runs a command to its end, or until it has taken too long.
func measure(dir string, t tool, limit time.Duration, args ...string) measured {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.path, args...) //nolint:gosec // the tools that are measured
	cmd.Dir, cmd.Env = dir, append(os.Environ(), t.env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return measured{err: err}
	}
	done := make(chan struct{})
	most := make(chan int64)
	go func() { most <- watch(cmd.Process.Pid, done) }()
	err := cmd.Wait()
	m := measured{wall: time.Since(started), over: ctx.Err() != nil}
	close(done)
	m.memory = <-most
	if err != nil {
		text := stderr.String()
		m.err = fmt.Errorf("%w: %s", err, text[max(0, len(text)-500):])
	}
	return m
}

// watch samples the memory of a process and its children until it is told that they are done.
func watch(pid int, done <-chan struct{}) int64 {
	var most int64
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return most
		case <-tick.C:
			most = max(most, tree(pid))
		}
	}
}

func tree(pid int) int64 {
	sum := proportional(pid)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		for _, child := range strings.Fields(string(text)) {
			if c, err := strconv.Atoi(child); err == nil {
				sum += tree(c)
			}
		}
	}
	return sum
}

// proportional is the Pss of a process: memory that several share is divided among them.
func proportional(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0 // it has ended
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// write writes the work for a tool. value is an input of the first instance, so that one change can be made.
func write(dir, name, shape string, n int, value string) error {
	block, file := `resource "terraform_data"`, "main.tf"
	ref, head := "terraform_data", ""
	if name == "davit" {
		block, file, ref = `application "noop"`, "davit.hcl", "application.noop"
		head = "davit {\n  required_plugins {\n    noop = { source = \"../noop\" }\n  }\n}\n"
	}
	var b strings.Builder
	b.WriteString(head)
	each := func(i string) string { return fmt.Sprintf("each.key == \"0\" ? %q : %s", value, i) }
	switch shape {
	case "chains":
		for i := range n {
			input := fmt.Sprintf("%q", "x")
			if i == 0 {
				input = fmt.Sprintf("%q", value)
			}
			if i%10 > 0 {
				input = fmt.Sprintf("%s.n%d.output", ref, i-1)
			}
			fmt.Fprintf(&b, "%s \"n%d\" {\n  input = %s\n}\n", block, i, input)
		}
	case "each":
		fmt.Fprintf(&b, "%s \"n\" {\n  for_each = %s\n  input    = %s\n}\n", block, keys(n), each("each.key"))
	case "pair":
		fmt.Fprintf(&b, "locals {\n  keys = %s\n}\n", keys(n/2))
		fmt.Fprintf(&b, "%s \"a\" {\n  for_each = local.keys\n  input    = %s\n}\n", block, each("each.key"))
		fmt.Fprintf(&b, "%s \"b\" {\n  for_each = local.keys\n  input    = %s.a[each.key].output\n}\n", block, ref)
	default:
		return fmt.Errorf("there is no shape %q: chains, each or pair", shape)
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(b.String()), 0o600)
}

func keys(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = strconv.Quote(strconv.Itoa(i))
	}
	slices.Sort(list)
	return "toset([" + strings.Join(list, ", ") + "])"
}
