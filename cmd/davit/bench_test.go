package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/core/pluginhost"
)

// BenchmarkBuiltins measures the built-in plugins as they are installed, from nothing to the first answer of all of them: the four that
// have been there from the start, started at once, and each alone. private-MB is the memory that is a plugin's own when it is idle, cpu-ms what
// the processes compute together, to their end: it depends less than the time on what else the machine does.
func BenchmarkBuiltins(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "davit")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	start := func(b *testing.B, names ...string) {
		b.Helper()
		private, before, runs := 0.0, cpu(b), 0
		for b.Loop() {
			runs++
			plugins := map[string]pluginhost.Executable{}
			for _, name := range names {
				plugins[name] = pluginhost.Executable{Path: bin, Args: []string{"plugin", "serve", name}}
			}
			host := pluginhost.New(pluginhost.Options{Version: version, CacheDir: b.TempDir(), StackDir: b.TempDir(), Plugins: plugins})
			var group errgroup.Group
			for _, name := range names {
				group.Go(func() error {
					c, err := host.Client(context.Background(), name)
					if err == nil {
						_, err = c.Describe(context.Background())
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			private = max(private, largest(b))
			if err := host.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(private, "private-MB")
		b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(runs), "cpu-ms/op")
	}
	four := []string{"git", "registry", "buildx", "kubernetes"}
	b.Run("four at once", func(b *testing.B) { start(b, four...) })
	for _, name := range four {
		b.Run(name, func(b *testing.B) { start(b, name) })
	}
}

// cpu is the time that all processes below this one that have ended have computed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// largest is the private memory, in MB, of the largest process below this one: pages that are not those of a file.
func largest(b *testing.B) float64 {
	b.Helper()
	most := 0.0
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, file := range children {
		text, _ := os.ReadFile(file)
		for pid := range strings.FieldsSeq(string(text)) {
			rollup, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
			if err != nil {
				continue // it has ended
			}
			for line := range strings.SplitSeq(string(rollup), "\n") {
				var kb float64
				if n, _ := fmt.Sscanf(line, "Anonymous: %f kB", &kb); n == 1 {
					most = max(most, kb/1024)
				}
			}
		}
	}
	return most
}
