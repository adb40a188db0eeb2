package firstgc

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// The test's own program, with this set, tells its percentage.
const tells = "FIRSTGC_TEST_TELLS"

func TestMain(m *testing.M) {
	if os.Getenv(tells) == "" {
		os.Exit(m.Run())
	}
	before := percent()
	runtime.GC()
	after := percent()
	for deadline := time.Now().Add(10 * time.Second); after == start && time.Now().Before(deadline); after = percent() {
		time.Sleep(time.Millisecond) // cleanups run a little later
	}
	fmt.Print(before, " ", after)
}

func percent() int {
	now := debug.SetGCPercent(-1)
	debug.SetGCPercent(now)
	return now
}

// The first collection brings the percentage to what is meant for work; what a person has set counts instead.
func TestTheFirstCollectionEndsIt(t *testing.T) {
	rest := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOGC=") })
	for setting, want := range map[string]string{"": fmt.Sprint(start, " ", working), "GOGC=123": "123 123", "GOGC=off": "-1 -1"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(slices.Clone(rest), tells+"=1", setting)
		if got, err := cmd.Output(); err != nil || string(got) != want {
			t.Errorf("with %q the percentage is %q, want %q (%v)", setting, got, want, err)
		}
	}
}
