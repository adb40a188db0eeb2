// Package world is the stack as a tree of module instances, blocks and their instances. It expands blocks, tells which instances depend on
// which, and gives expressions the values that others see. It knows no plugins and no state.
package world
