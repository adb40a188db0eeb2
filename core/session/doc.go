// Package session opens a stack: it reads the files, gets the values of variables, finds the plugins, and opens the state. Process.Open
// takes a directory and never looks at the working directory, so that one process can have several stacks open.
package session
