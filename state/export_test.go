package state

// Merge is how a group merges batches that wait: as few as have the same meaning.
func Merge(batches ...Batch) (merged []Batch) {
	m := &merger{}
	for _, b := range batches {
		if !m.add(b) {
			merged = append(merged, m.batch())
			m = &merger{}
			m.add(b)
		}
	}
	return append(merged, m.batch())
}

// Waiting is how many commits of a group wait to be written.
func Waiting(l Lease) int {
	g := l.(*group)
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
