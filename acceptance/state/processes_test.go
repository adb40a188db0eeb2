package state_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/lab"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/kubernetes"
	"github.com/davit-sh/davit/state/s3"
	"github.com/davit-sh/davit/state/statetest"
)

var l *lab.Lab

// taskEnv makes the test binary a process of its own that works on a state.
const taskEnv = "DAVIT_TEST_STATE_TASK"

// task is what such a process does.
type task struct {
	S3         *s3.Config         `json:",omitempty"`
	Kubernetes *kubernetes.Config `json:",omitempty"`
	Increments int                // add one to a record so many times, each time under a lease of its own
	Write      bool               // commit records until that fails
	TTL        time.Duration
	Token, CA  string // mounted where a pod's service account is
}

func TestMain(m *testing.M) {
	if text := os.Getenv(taskEnv); text != "" {
		var t task
		err := json.Unmarshal([]byte(text), &t)
		if err == nil {
			err = t.run(context.Background())
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(lab.Run(m, &l, lab.Options{APIServer: true, S3: true}))
}

func (t task) run(ctx context.Context) error {
	if t.Token != "" {
		if err := t.mountServiceAccount(); err != nil {
			return err
		}
	}
	var s state.Store
	var err error
	if t.S3 != nil {
		s, err = s3.Open(ctx, *t.S3, s3.TTL(t.TTL))
	} else {
		s, err = kubernetes.Open(ctx, *t.Kubernetes, kubernetes.TTL(t.TTL))
	}
	if err != nil {
		return err
	}
	if t.Write {
		return write(ctx, s)
	}
	for range t.Increments {
		if err := increment(ctx, s); err != nil {
			return err
		}
	}
	fmt.Println("done")
	return nil
}

func increment(ctx context.Context, s state.Store) error {
	var lease state.Lease
	for {
		var err error
		lease, err = s.Lock(ctx, state.Holder{Who: "counter@here"})
		if err == nil {
			break
		}
		var locked *state.LockedError
		if !errors.As(err, &locked) {
			return err
		}
		time.Sleep(3 * time.Millisecond)
	}
	snapshot, err := s.Load(ctx)
	if err != nil {
		return err
	}
	r := statetest.Record("build.oci.counter")
	n, _ := strconv.Atoi(snapshot.Records[r.Address].Type)
	r.Type = strconv.Itoa(n + 1)
	if _, err := lease.Commit(ctx, state.Batch{Put: []state.Record{r}}); err != nil {
		return err
	}
	return lease.Release(ctx)
}

func write(ctx context.Context, s state.Store) error {
	lease, err := s.Lock(ctx, state.Holder{Who: "writer@here"})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if _, err := lease.Commit(ctx, state.Batch{Put: []state.Record{statetest.Record(fmt.Sprintf("build.oci.w%d", i))}}); err != nil {
			select {
			case <-lease.Lost():
				fmt.Println("told that the lease is lost")
			case <-time.After(10 * time.Second):
			}
			return err
		}
		fmt.Println("committed", i)
	}
}

func (p place) task() task { return task{S3: p.s3, Kubernetes: p.kubernetes, TTL: p.ttl} }

func (t task) command(tb testing.TB) *exec.Cmd {
	tb.Helper()
	text, err := json.Marshal(t)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), taskEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Several processes count in one record. No count is lost.
func TestCounting(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		p := fresh(t)
		const processes, rounds = 8, 125
		var wg sync.WaitGroup
		for range processes {
			cmd := task{S3: p.s3, Kubernetes: p.kubernetes, Increments: rounds, TTL: 30 * time.Second}.command(t)
			wg.Go(func() {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
		s, err := p.open(t).Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := strconv.Atoi(s.Records["build.oci.counter"].Type)
		if err != nil || got != processes*rounds || s.Serial != processes*rounds {
			t.Errorf("%d processes counted %d times each to %d, serial %d, %v", processes, rounds, got, s.Serial, err)
		}
		statetest.Numbers(t, "%d processes, %d increments, %d updates lost", processes, processes*rounds, processes*rounds-got)
	})
}

// A process that is stopped for longer than its lease lasts cannot write when it goes on.
func TestStoppedHolder(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		p := fresh(t)
		p.ttl = time.Second
		w := p.task()
		w.Write = true
		cmd := w.command(t)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 5 {
			lines.Scan() // it commits
		}
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		store := p.open(t)
		var lease state.Lease
		for lease == nil {
			lease, err = store.Lock(t.Context(), state.Holder{Who: "next@here"})
			var locked *state.LockedError
			if err != nil && !errors.As(err, &locked) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		defer lease.Release(context.Background()) //nolint:errcheck // the test is over
		before, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
		}
		_ = cmd.Wait()
		last := strings.Join(said[max(0, len(said)-2):], "\n")
		if !strings.Contains(last, "told that the lease is lost") || !strings.Contains(last, state.ErrLeaseLost.Error()) {
			t.Errorf("the stopped process said %q", last)
		}
		after, err := store.Load(t.Context())
		if err != nil || len(after.Records) != len(before.Records) || after.Serial != before.Serial {
			t.Errorf("it wrote: %d records, then %d: %v", len(before.Records), len(after.Records), err)
		}
	})
}

const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

func (t task) mountServiceAccount() error {
	if err := os.MkdirAll(serviceAccountDir, 0o755); err != nil {
		return err
	}
	ca, err := os.ReadFile(t.CA)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"token": t.Token, "ca.crt": string(ca), "namespace": "default"} {
		if err := os.WriteFile(filepath.Join(serviceAccountDir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// In a pod there is no kubeconfig: the service account is enough, with what the documentation says it must be
// allowed, whether davit is told that it is in a pod or finds out. The folder of the token is seen by that process only.
func TestInCluster(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "found out": false} {
		t.Run(name, func(t *testing.T) {
			p := newKubernetes(t)
			inside := task{Increments: 3, TTL: 30 * time.Second, Token: serviceAccount(t, told), CA: l.APIServer.CA,
				Kubernetes: &kubernetes.Config{Name: p.kubernetes.Name, InCluster: told}}
			text, err := json.Marshal(inside)
			if err != nil {
				t.Fatal(err)
			}
			host, port, _ := strings.Cut(strings.TrimPrefix(l.APIServer.URL, "https://"), ":")
			log := filepath.Join(t.TempDir(), "log")
			run, err := process.Start(process.Command{
				Name: "pod", Args: []string{os.Args[0]}, Private: true, Hidden: []string{"/var/run/secrets"}, Log: log,
				Env: []string{taskEnv + "=" + string(text), "KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port, "KUBECONFIG=", "HOME=/nonexistent"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer run.Stop(0) //nolint:errcheck // it has ended
			err = run.WaitReady(t.Context(), time.Minute, func(context.Context) error {
				b, err := os.ReadFile(log)
				if err == nil && !strings.HasSuffix(string(b), "done\n") {
					err = fmt.Errorf("it says %q", b)
				}
				return err
			})
			if b, _ := os.ReadFile(log); err != nil && !strings.HasSuffix(string(b), "done\n") {
				t.Fatal(err)
			}
			// And what was written inside is seen from outside.
			s, err := p.open(t).Load(t.Context())
			if err != nil || s.Records["build.oci.counter"].Type != "3" {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}
