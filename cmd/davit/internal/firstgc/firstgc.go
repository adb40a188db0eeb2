// Package firstgc puts the first garbage collection of a program off until it has started: initialising what davit links
// allocates about 8 MB that nearly all stay in use, and collecting them twice on the way takes as long as the work itself.
//
// Importing it is enough. It imports little, so that Go initialises it before the packages that are large: the first
// one in the order of import paths whose own imports are ready comes next. GOGC, where a person has set it, counts instead.
package firstgc

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// start is the percentage until the first collection, which comes at 4 MB times it: 16 MB.
	start = 400
	// working is the percentage from then on, for machines as small as a Raspberry Pi: a little more time than
	// Go's own 100, a good deal less memory.
	working = 60
)

func init() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(start)
	// What nobody refers to is gone after the first collection.
	runtime.AddCleanup(new([16]*byte), func(percent int) { debug.SetGCPercent(percent) }, working)
}
