//go:build !linux

package cell

import "math/bits"

// mostMemory is how much memory a worker may have: 1 GiB, and half of it where addresses are short.
const mostMemory = bits.UintSize << 24

// confine has nothing to confine a worker with on this system: it has an empty environment and its pipes, and watches its memory.
func confine() Confinement { return Confinement{} }

// keepDescriptors has nothing to do: this system's Go marks what it opens, and davit is given nothing.
func keepDescriptors() {}
