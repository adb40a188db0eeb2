package trim

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const smaps = `00400000-00401000 r--p 00000000 fe:00 7 /opt/my davit
Size:                  4 kB
Anonymous:         0 kB
00401000-00403000 r-xp 00001000 fe:00 7 /opt/my davit
Anonymous:         0 kB
00403000-00404000 r--p 00003000 fe:00 7 /opt/my davit
Anonymous:         4 kB
00404000-00405000 rw-p 00004000 fe:00 7 /opt/my davit
Anonymous:         0 kB
00500000-00501000 r-xp 00000000 fe:00 8 /lib/libc.so
Anonymous:         0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:         0 kB
`

// Only pages that are as they are in the program's own file are given back.
func TestClean(t *testing.T) {
	got := clean(strings.NewReader(smaps), "/opt/my davit")
	if want := []mapping{{0x400000, 0x1000}, {0x401000, 0x2000}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The program goes on as before, with fewer of its pages in memory.
func TestStartup(t *testing.T) {
	resident := func() int {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if strings.HasPrefix(line, "RssFile:") {
				kb := 0
				for _, c := range line {
					if c >= '0' && c <= '9' {
						kb = kb*10 + int(c-'0')
					}
				}
				return kb
			}
		}
		return 0
	}
	before := resident()
	Startup()
	after := resident()
	if after >= before {
		t.Errorf("%d kB before, %d kB after", before, after)
	}
	t.Logf("%d kB of the program's file in memory before, %d kB after", before, after)
}
