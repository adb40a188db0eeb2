package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes lists the processes that have something to do with a folder: they work in it, or name it in their arguments
// or their environment.
func processes(dir string) map[int]string {
	found := map[int]string{}
	for pid := range parents() {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(proc, "environ"))
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		if pid != os.Getpid() && (bytes.Contains(args, []byte(dir)) || bytes.Contains(env, []byte(dir)) || strings.HasPrefix(cwd, dir)) {
			found[pid] = string(bytes.ReplaceAll(args, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// children lists the processes that a process has started.
func children(of int) []int {
	var list []int
	for pid, parent := range parents() {
		if parent == of {
			list = append(list, pid)
		}
	}
	return list
}

// parents are the parents of all processes that have not ended, by process.
func parents() map[int]int {
	list := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// The second field is a name in brackets, which may hold anything (see proc(5)).
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) < 2 || fields[0][0] == 'Z' {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		list[pid], _ = strconv.Atoi(string(fields[1]))
	}
	return list
}
