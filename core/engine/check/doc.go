// Package check finds what is wrong with a stack without a look at the world: unknown names, wrong types, circles, and what the plugins
// refuse of the arguments that are written out.
package check
