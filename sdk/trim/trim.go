// Package trim reduces the memory of a process that links much more than it uses.
package trim

import "time"

// Startup gives back the pages of the program's own file that only starting up has needed, such as tables that
// libraries prepare: tens of megabytes of a program with a Kubernetes client in it. What is wanted after all
// comes back from the page cache. It never fails; where it is not possible it does nothing.
func Startup() { startup() }

// Soon is Startup a little later, when others wait for the program's first answer: it takes a millisecond or two of a large
// program, and programs that start at once compete for the processors.
func Soon() { time.AfterFunc(soon, startup) }

// soon is long enough for several programs of that kind to start side by side.
const soon = 200 * time.Millisecond
