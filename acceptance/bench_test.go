package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkVersion is the time that the command needs for nothing.
func BenchmarkVersion(b *testing.B) {
	for b.Loop() {
		if err := exec.Command(davitBinary, "version").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlanUnchanged is a plan of smartbiz with nothing to do, against all of its servers. cpu-ms is what
// davit and its plugins compute themselves, on all cores together, without waiting.
func BenchmarkPlanUnchanged(b *testing.B) {
	s := newSmartbiz(b)
	s.push("The API")
	s.must("apply", "-auto-approve")
	s.must("plan")
	b.Cleanup(func() { s.must("destroy", "-auto-approve") })
	var cpu time.Duration
	for b.Loop() {
		cmd := exec.Command(davitBinary, "plan", "-detailed-exitcode")
		cmd.Dir, cmd.Env = s.dir, s.env
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkPushToPod is one apply from a pushed commit to a pod that answers with it, and its parts.
func BenchmarkPushToPod(b *testing.B) {
	s := newSmartbiz(b)
	s.push("The API")
	s.must("apply", "-auto-approve")
	b.Cleanup(func() { s.must("destroy", "-auto-approve") })
	release, parts := "one", map[string]time.Duration{}
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		next := fmt.Sprintf("release-%d", n)
		s.edit("apps/api/main.py", fmt.Sprintf("RELEASE = %q", release), fmt.Sprintf("RELEASE = %q", next))
		release = next
		s.push("Release " + next)
		b.StartTimer()
		started := time.Now()
		r := s.must("apply", "-auto-approve", "-json")
		if got := s.release(); got != release {
			b.Fatalf("the pod says %q, want %q", got, release)
		}
		for name, d := range partsOf(b, r.stdout, started) {
			parts[name] += d
		}
	}
	for name, d := range parts {
		b.ReportMetric(d.Seconds()/float64(b.N), name+"-s/op")
	}
}

// partsOf reads from an apply's events how long its parts took.
func partsOf(b *testing.B, events string, started time.Time) map[string]time.Duration {
	b.Helper()
	parts := map[string]time.Duration{}
	var buildStart, pushStart time.Time
	for lines := bufio.NewScanner(strings.NewReader(events)); lines.Scan(); {
		var e struct {
			Time    time.Time `json:"time"`
			Type    string    `json:"type"`
			Address string    `json:"address"`
			Stream  string    `json:"stream"`
			Message string    `json:"message"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			b.Fatal(err)
		}
		build := strings.HasPrefix(e.Address, "build.")
		switch {
		case build && e.Type == "operation_start":
			parts["observe"], buildStart = e.Time.Sub(started), e.Time
		case build && e.Type == "log" && e.Message == "exporting to image" && pushStart.IsZero():
			parts["build"], pushStart = e.Time.Sub(buildStart), e.Time
		case build && e.Type == "operation_done":
			parts["push"] = e.Time.Sub(pushStart)
			buildStart = e.Time
		case strings.HasPrefix(e.Address, "application.") && e.Type == "operation_done":
			parts["rollout"] = e.Time.Sub(buildStart)
		}
	}
	return parts
}
