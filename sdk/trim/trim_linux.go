package trim

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func startup() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range clean(f, self) {
		// The pages are as they are in the file, so nothing is lost.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED)
	}
}

// mapping is a part of the address space.
type mapping struct{ start, size uintptr }

// clean finds the mappings of a file that cannot be written to and never were, as those that a
// dynamic linker has relocated.
func clean(smaps io.Reader, file string) []mapping {
	var list []mapping
	ours := false // the mapping that the lines speak of
	var at mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 2 && strings.Contains(fields[0], "-") && !strings.HasSuffix(fields[0], ":"):
			at, ours = header(fields, file)
		case ours && len(fields) > 1 && fields[0] == "Anonymous:":
			if fields[1] == "0" {
				list = append(list, at)
			}
			ours = false
		}
	}
	return list
}

// header reads the first line of a mapping: "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/davit".
func header(fields []string, file string) (mapping, bool) {
	if len(fields) < 6 || strings.Join(fields[5:], " ") != file || strings.Contains(fields[1], "w") {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	return mapping{uintptr(start), uintptr(end - start)}, err1 == nil && err2 == nil && end > start
}
