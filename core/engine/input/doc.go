// Package input is what a run is made from: the stack, the values of its variables, the catalogue of types, and what a person has asked
// for. None of it changes while the run goes on.
package input
