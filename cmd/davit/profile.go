package main

import (
	"os"
	"runtime/pprof"
)

// profile writes a CPU profile to the file that DAVIT_CPUPROFILE names, and one of the memory to DAVIT_MEMPROFILE's.
func profile() (stop func()) {
	stop = func() {}
	if name := os.Getenv("DAVIT_CPUPROFILE"); name != "" {
		if f, err := os.Create(name); err == nil && pprof.StartCPUProfile(f) == nil {
			stop = func() {
				pprof.StopCPUProfile()
				_ = f.Close()
			}
		}
	}
	cpu := stop
	return func() {
		cpu()
		if name := os.Getenv("DAVIT_MEMPROFILE"); name != "" {
			if f, err := os.Create(name); err == nil {
				_ = pprof.Lookup("allocs").WriteTo(f, 0)
				_ = f.Close()
			}
		}
	}
}
