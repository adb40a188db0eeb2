//go:build !linux

package local

// process identifies one process; this system has no reliable identity. The lease of an ended process
// has to expire.
type process struct{}

func thisProcess() *process { return nil }

func (p *process) ended() bool { return false }
