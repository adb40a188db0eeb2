package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func TestThousandsOfPlansShareOneStream(t *testing.T) {
	c := goodClient(t, nil)
	shared := &pluginv1.PlanRequest{Address: "say:same", Id: 7}
	var wg sync.WaitGroup
	for i := range 3000 {
		wg.Go(func() {
			want, r := strconv.Itoa(i), &pluginv1.PlanRequest{Address: "say:" + strconv.Itoa(i)}
			if i%10 == 0 { // a request may be used by several callers
				want, r = "same", shared
			}
			got, err := c.Plan(context.Background(), r, nil)
			if err != nil || string(got.GetPrivate()) != want {
				t.Errorf("%d got %q, %v", i, got.GetPrivate(), err)
			}
		})
	}
	wg.Wait()
	if shared.GetId() != 7 {
		t.Error("the caller's request was changed")
	}
	if got := planned(t, c, "streams:"); got != "0" {
		t.Errorf("%s streams have ended", got)
	}
}

// hang starts a Plan that is never answered, and returns when the plugin has it.
func hang(t *testing.T, ctx context.Context, c *Client, address string) <-chan error { //nolint:revive // t first, as everywhere
	t.Helper()
	ended, there := make(chan error, 1), make(chan struct{})
	go func() {
		_, err := c.Plan(ctx, &pluginv1.PlanRequest{Address: address}, func(*pluginv1.Log) { close(there) })
		ended <- err
	}()
	<-there
	return ended
}

func TestLogLinesComeBeforeTheResult(t *testing.T) {
	c := goodClient(t, nil)
	var got []string
	if _, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "log:500"}, func(l *pluginv1.Log) { got = append(got, l.GetLine()) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 500 || got[0] != "line 0" || got[499] != "line 499" {
		t.Errorf("%d lines: %q", len(got), got)
	}
	planned(t, c, "log:3") // nobody listens
	if got := planned(t, c, "say:still here"); got != "still here" {
		t.Error(got)
	}
}

func TestAHangingPlanEndsWithItsContextAndOthersGoOn(t *testing.T) {
	c := goodClient(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	hanging := hang(t, ctx, c, "hang:")
	slow := make(chan string)
	go func() { slow <- planned(t, c, "slow:300") }()
	cancel()
	if err := <-hanging; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := <-slow; got != "300" {
		t.Errorf("the other call got %q", got)
	}
}

func TestWhenNobodyWaitsThePluginIsTold(t *testing.T) {
	c := goodClient(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Plan(ctx, &pluginv1.PlanRequest{Address: "hang:"}, nil)
	problem(t, err, "did not answer in time while planning hang:")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for planned(t, c, "streams:") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
}

func TestALateAnswerIsNobodys(t *testing.T) {
	c := goodClient(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	keep := make(chan string)
	go func() { keep <- planned(t, c, "slow:600") }() // holds the stream open
	if _, err := c.Plan(ctx, &pluginv1.PlanRequest{Address: "slow:200"}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := <-keep; got != "600" {
		t.Error(got)
	}
}

func TestAMixedUpPluginFailsItsPlansAndLivesOn(t *testing.T) {
	for address, says := range map[string]string{
		"twice:":       "answered twice for one instance",
		"unknown:":     "answered for an instance that was not requested",
		"end-stream:":  "ended its stream of answers",
		"fail-stream:": "the disk is on fire",
		"big:2000000":  "sent more than 1000000 bytes in one message",
	} {
		t.Run(address, func(t *testing.T) {
			h := newHost(t, nil, "good")
			h.limit = 1_000_000
			c, err := h.Client(context.Background(), "good")
			if err != nil {
				t.Fatal(err)
			}
			waiting := hang(t, context.Background(), c, "hang:")
			// The first of two answers may have come in time.
			_, err = c.Plan(context.Background(), &pluginv1.PlanRequest{Address: address}, nil)
			if err != nil || address != "twice:" {
				problem(t, err, says, "while planning "+address)
			}
			problem(t, <-waiting, says, "while planning hang:")
			if got := planned(t, c, "say:again"); got != "again" {
				t.Error(got)
			}
		})
	}
}

func TestMessagesAboveTheUsualLimitPass(t *testing.T) {
	c := goodClient(t, nil)
	if got := planned(t, c, "big:20000000"); len(got) != 20_000_000 {
		t.Errorf("%d bytes came", len(got))
	}
	r := &pluginv1.PlanRequest{Address: "say:took it", PlannedPrivate: make([]byte, 20_000_000)}
	if _, err := c.Plan(context.Background(), r, nil); err != nil {
		t.Error(err)
	}
}

func TestARequestAboveTheLimitHurtsNobodyElse(t *testing.T) {
	h := newHost(t, nil, "good")
	h.limit = 1_000_000
	c, err := h.Client(context.Background(), "good")
	if err != nil {
		t.Fatal(err)
	}
	other := make(chan string)
	go func() { other <- planned(t, c, "slow:200") }()
	_, err = c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "say:x", PlannedPrivate: make([]byte, 1_000_000-20)}, nil)
	problem(t, err, "was not asked while planning say:x: the request has 999991 bytes", "the limit is 1000000")
	if got := <-other; got != "200" {
		t.Error(got)
	}
}

func TestACrashWhilePlanning(t *testing.T) {
	c := goodClient(t, nil)
	var others []<-chan error
	for i := range 50 {
		others = append(others, hang(t, context.Background(), c, "hang:"+strconv.Itoa(i)))
	}
	_, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "exit:3"}, nil)
	problem(t, err, `plugin "good" ended (exit status 3) while planning exit:3`)
	for i, o := range others {
		problem(t, <-o, `plugin "good" ended (exit status 3) while planning hang:`+strconv.Itoa(i), "its last output:\n  first\n  second red")
	}
	// It stays dead, and says so at once, whatever is asked.
	_, err = c.Describe(context.Background())
	problem(t, err, "ended (exit status 3) while describing itself")
	_, err = c.Apply(context.Background(), &pluginv1.ApplyRequest{Address: "a"}, nil)
	problem(t, err, "ended (exit status 3) while applying a")
	again, err := c.host.Client(context.Background(), "good")
	if err != nil || again != c {
		t.Errorf("another client was made: %v", err)
	}
}

func TestAPanicIsTold_ItsStackIsNot(t *testing.T) {
	c := goodClient(t, nil)
	_, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "panic:"}, nil)
	e := problem(t, err, "ended (exit status 2)", "its last output: panic: kaboom:")
	if strings.Contains(err.Error(), "\n") || len(e.Output) != 1 {
		t.Errorf("more than the panic's line: %v", err)
	}
}

func TestPrintingToStandardOutputIsHarmless(t *testing.T) {
	var mu sync.Mutex
	var logged []string
	c := goodClient(t, func(o *Options) {
		o.Log = func(plugin, line string) {
			mu.Lock()
			defer mu.Unlock()
			logged = append(logged, plugin+": "+line)
		}
	})
	planned(t, c, "print:")
	planned(t, c, "print:")
	if got := planned(t, c, "say:fine"); got != "fine" {
		t.Error(got)
	}
	if err := c.host.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(logged, "\n"); !strings.Contains(all, "good: hello from the real one") {
		t.Errorf("not logged: %.300s", all)
	}
}

func TestAFloodOfOutputCostsNoMemory(t *testing.T) {
	c := goodClient(t, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	planned(t, c, "flood:1000") // 1 GB of lines, and a line of 50 MB
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc) - int64(before.TotalAlloc); grown > 20<<20 { //nolint:gosec // small
		t.Errorf("%d MB were allocated", grown>>20)
	}
	_, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "exit:1"}, nil)
	if e := problem(t, err, "ended (exit status 1)", "zzz...", "www..."); len(e.Output) > 20 || len(err.Error()) > 8000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestApply(t *testing.T) {
	errStop := errors.New("the disk is full")
	for _, test := range []struct {
		address string
		on      func(*pluginv1.ApplyResponse) error
		says    string // empty: it works
		is      error
	}{
		{address: "fine:"},
		{address: "twice:"}, // the first result counts
		{address: "no-result:", says: "ended its answer without a result while applying no-result:"},
		{address: "fail:no such cluster", says: "failed while applying fail:no such cluster: no such cluster"},
		{address: "crash:", says: `ended (exit status 2) while applying crash:; its last output: panic: kaboom in apply`},
		{address: "hang:", on: func(m *pluginv1.ApplyResponse) error {
			if m.GetCheckpoint() != nil {
				return errStop
			}
			return nil
		}, is: errStop},
	} {
		t.Run(test.address, func(t *testing.T) {
			c := goodClient(t, nil)
			var told []string
			r, err := c.Apply(context.Background(), &pluginv1.ApplyRequest{Address: test.address}, func(m *pluginv1.ApplyResponse) error {
				told = append(told, strings.TrimPrefix(fmt.Sprintf("%T", m.GetBody()), "*pluginv1.ApplyResponse_"))
				if test.on != nil {
					return test.on(m)
				}
				return nil
			})
			switch {
			case test.is != nil:
				if !errors.Is(err, test.is) {
					t.Error(err)
				}
			case test.says != "":
				problem(t, err, test.says)
			case err != nil || string(r.GetPrivate()) != "whole":
				t.Errorf("%v, %v", r, err)
			}
			if got := strings.Join(told, " "); got != "Log Checkpoint" {
				t.Errorf("told: %s", got)
			}
		})
	}
}

func TestAHangingApplyEndsWithItsContext(t *testing.T) {
	c := goodClient(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := c.Apply(ctx, &pluginv1.ApplyRequest{Address: "hang:"}, func(m *pluginv1.ApplyResponse) error {
		if m.GetCheckpoint() != nil {
			cancel()
		}
		return nil
	})
	if problem(t, err, "was interrupted while applying hang:"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Validate(ctx, &pluginv1.ValidateRequest{Kind: "source", Type: "hang"})
	problem(t, err, `did not answer in time while validating a source "hang"`)
	_, err = c.Validate(context.Background(), &pluginv1.ValidateRequest{Kind: "source", Type: "error"})
	problem(t, err, `failed while validating a source "error": the type is not here`)
}

func TestCloseEndsWhatIsRunning(t *testing.T) {
	c := goodClient(t, nil)
	planning := hang(t, context.Background(), c, "hang:")
	ended, applying := make(chan error, 1), make(chan struct{})
	go func() {
		_, err := c.Apply(context.Background(), &pluginv1.ApplyRequest{Address: "hang:"}, func(m *pluginv1.ApplyResponse) error {
			if m.GetCheckpoint() != nil {
				close(applying)
			}
			return nil
		})
		ended <- err
	}()
	<-applying
	if err := c.host.Close(); err != nil {
		t.Error(err)
	}
	for _, e := range []<-chan error{planning, ended} {
		problem(t, <-e, "was stopped because davit is stopping")
	}
}

func TestTail(t *testing.T) {
	for name, test := range map[string]struct{ wrote, want string }{
		"nothing":           {"", ""},
		"lines":             {"a\nb\r\n\nc", "a|b|c"},
		"the last few":      {"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "3|4|5|6|7|8|9|10"},
		"not for terminals": {"\x1b[2Jx\x07\ty\xff\n", "x y\uFFFD"},
		"a panic":           {"a\npanic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:3 +0x1d\nexit status 2\n", "panic: no"},
		"a panic of two lines": {
			"a\npanic: no\nreally not\n\ngoroutine 1 gp=0xc0 m=0 mp=0x1 [running]:\nmain.(*T).f(0x1, {0x2})\n\t/x/main.go:3 +0x1d\ncreated by main.g in goroutine 1\n",
			"panic: no",
		},
		"a fault": {
			"panic: runtime error: invalid memory address\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n",
			"panic: runtime error: invalid memory address",
		},
		"life after a panic": {"panic: no\ngoroutine 7 [running]:\nf()\n\t/x.go:1\nI go on\n", "panic: no|I go on"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &tail{}
			l := &lines{add: out.add}
			for _, b := range []byte(test.wrote) {
				if _, err := l.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			l.flush()
			if got := strings.Join(out.last(), "|"); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
