// Package trim keeps a process small that links much more than it uses.
package trim

// Startup gives back the pages of the program's own file that only starting up has needed, such as tables that
// libraries prepare: tens of megabytes of a program with a Kubernetes client in it. What is wanted after all
// comes back from the page cache. It never fails; where it is not possible it does nothing.
func Startup() { startup() }
