package limit

// SetMost makes a limit one of fewer elements.
func (l *Limit) SetMost(n int64) { l.most = n }
