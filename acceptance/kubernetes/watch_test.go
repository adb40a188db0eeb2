package kubernetes_test

import (
	"bufio"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// serving is a davit serve that runs.
type serving struct {
	t      *testing.T
	mu     sync.Mutex
	passes []string // "watch: application.kubernetes.web (...)" of each reconcile
	lines  []string
}

// serve runs davit serve until the test ends.
func (s *stack) serve(args ...string) *serving {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := s.command(ctx, append([]string{"serve", "-stack", ".", "-verbose"}, args...)...)
	out, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	v := &serving{t: s.t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			v.read(lines.Text())
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait() // it was killed
		if s.t.Failed() {
			s.t.Log(strings.Join(v.lines, "\n"))
		}
	})
	return v
}

func (v *serving) read(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lines = append(v.lines, line)
	var l struct {
		Message  string `json:"msg"`
		Triggers string `json:"triggers"`
	}
	if json.Unmarshal([]byte(line), &l) == nil && l.Message == "reconciled" {
		v.passes = append(v.passes, l.Triggers)
	}
}

// take returns what the passes until now were for, and forgets them.
func (v *serving) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.passes
	v.passes = nil
	return was
}

// eventually waits for something, and returns how long it took.
func eventually(t *testing.T, what string, is func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > time.Minute {
			t.Fatalf("after a minute: not %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begun).Round(10 * time.Millisecond)
}

// Drift is mended when it happens, what davit writes itself is no drift, and watching costs next to nothing.
func TestServeWatches(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.kubectl("create", "serviceaccount", s.namespace, "--namespace=default")
	s.kubectl("create", "clusterrolebinding", s.namespace, "--clusterrole=cluster-admin", "--serviceaccount=default:"+s.namespace)
	requests := s.count(s.kubectl("create", "token", s.namespace, "--namespace=default"))
	s.commit("web/all.yaml", deployment(1, image())+"---\n"+secret+"---\n"+configMap+"---\n"+service)
	v := s.serve("-interval=2s")
	colour := func() string {
		out, _ := s.tryKubectl("get", "configmap", "settings", "-o", "jsonpath={.data.colour}")
		return out
	}
	eventually(t, "deployed", func() bool {
		out, _ := s.tryKubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}")
		return out == "1"
	})
	time.Sleep(10 * time.Second) // the apply ends, and the watches begin

	v.take()
	requests.take()
	const idle = 30 * time.Second
	time.Sleep(idle)
	all := requests.take()
	t.Logf("idle for %s: %d requests to the API server, %d passes", idle, len(all), len(v.take()))
	if len(all) > 10 {
		t.Errorf("%d requests while nothing happens: %q", len(all), all)
	}

	s.kubectl("patch", "configmap", "settings", "--patch", `{"data":{"colour":"red"}}`)
	t.Logf("a field is mended after %s", eventually(t, "mended", func() bool { return colour() == "blue" }))
	s.kubectl("delete", "configmap", "settings")
	t.Logf("an object is made again after %s", eventually(t, "made again", func() bool { return colour() == "blue" }))
	time.Sleep(5 * time.Second)
	passes := v.take()
	for _, p := range passes {
		t.Log("pass:", p)
	}
	if n := len(slices.DeleteFunc(slices.Clone(passes), func(p string) bool { return !strings.Contains(p, "watch") })); n != 2 {
		t.Errorf("two changes made %d passes because of a watch: %q", n, passes)
	}

	s.commit("web/all.yaml", deployment(1, image())+"---\n"+secret+"---\n"+strings.Replace(configMap, "blue", "green", 1)+"---\n"+service)
	t.Logf("a commit is applied after %s, with an interval of 2s", eventually(t, "applied", func() bool { return colour() == "green" }))
	time.Sleep(6 * time.Second)
	passes = v.take()
	if n := len(slices.DeleteFunc(slices.Clone(passes), func(p string) bool { return !strings.Contains(p, "watch") })); n != 1 {
		t.Errorf("one commit made %d passes because of a watch: %q", n, passes)
	}

	// A status that controllers write is no drift; a Deployment that breaks is told.
	s.kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "--patch", `{"status":{"collisionCount":1}}`)
	s.kubectl("annotate", "deployment", "web", "example.com/seen=1", "--field-manager=controller")
	time.Sleep(3 * time.Second)
	if passes := v.take(); len(passes) > 0 {
		t.Errorf("passes because of others' fields: %q", passes)
	}
	s.kubectl("create", "quota", "none", "--hard=pods=0")
	s.kubectl("delete", "pods", "--all", "--wait=false", "--grace-period=0", "--force")
	eventually(t, "told", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return slices.ContainsFunc(v.lines, func(l string) bool {
			return strings.Contains(l, "its health has changed") && strings.Contains(l, `"health":"InProgress"`)
		})
	})
	if passes := v.take(); len(passes) > 0 {
		t.Errorf("passes because of health: %q", passes)
	}
	s.noSecret(password, encoded)
}
