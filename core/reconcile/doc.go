// Package reconcile is the loop: it keeps stacks open, and plans and applies them again whenever something tells that they may not be what
// they should be.
//
// Each stack has a worker. It holds the lease on the stack's state for as long as it runs; another process that holds it is waited for.
// Triggers wait in the worker's queue, which merges them. A pass takes all of them: it plans with the warm engine, leaves out what may not go
// (gates, back-off, drift that is only reported), applies the rest, and notes what came of it in the status.
//
// Where stacks come from is behind the interface Stacks: folders here, objects of a cluster elsewhere.
package reconcile
