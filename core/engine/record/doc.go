// Package record holds the decisions over state and plan that need neither plugins nor values of now: what becomes of operations that were
// cut off, where moved blocks take records, what is damaged, and whether a plan still fits. Most of it is pure; Settle and Recover write.
package record
