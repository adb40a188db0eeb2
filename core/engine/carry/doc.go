// Package carry carries a plan out: it walks the plan's steps, writes the intent and the result of each operation to state, and plans again
// what was unknown.
package carry
