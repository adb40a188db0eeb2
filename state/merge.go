package state

import "slices"

// merger merges consecutive batches into one.
type merger struct {
	out     Batch
	put     map[string]int // the place of an address in out.Put
	begun   map[string]int // the place of an id in out.Begin
	touched map[string]bool
}

// add merges b after the batches so far, and returns false if that would change its meaning: the moves of a batch come
// first, so an earlier change of a moved address must be written before.
func (m *merger) add(b Batch) bool {
	for _, move := range b.Move {
		if m.touched[move.From] || m.touched[move.To] {
			return false
		}
	}
	if m.put == nil {
		m.put, m.begun, m.touched = map[string]int{}, map[string]int{}, map[string]bool{}
	}
	for _, move := range b.Move {
		m.touched[move.From], m.touched[move.To] = true, true
	}
	for _, address := range b.Delete {
		m.touched[address] = true
		if i, ok := m.put[address]; ok {
			m.out.Put[i].Address = "" // the later word counts
			delete(m.put, address)
		}
	}
	for _, r := range b.Put {
		m.touched[r.Address] = true
		m.out.Put = place(m.out.Put, m.put, r.Address, r)
	}
	for _, id := range b.End {
		if i, ok := m.begun[id]; ok {
			m.out.Begin[i].ID = ""
			delete(m.begun, id)
		}
	}
	for _, o := range b.Begin {
		m.touched[o.Address] = true
		m.out.Begin = place(m.out.Begin, m.begun, o.ID, o)
	}
	for _, r := range b.History {
		m.touched[r.Record.Address] = true
	}
	m.out.Move = append(m.out.Move, b.Move...)
	m.out.Delete = append(m.out.Delete, b.Delete...)
	m.out.End = append(m.out.End, b.End...)
	m.out.History = append(m.out.History, b.History...)
	if b.Outputs != nil {
		m.out.Outputs = b.Outputs
	}
	return true
}

// place puts an item where the list has its name already, or at the end.
func place[T any](list []T, at map[string]int, name string, item T) []T {
	if i, ok := at[name]; ok {
		list[i] = item
		return list
	}
	at[name] = len(list)
	return append(list, item)
}

// batch returns the merged batch.
func (m *merger) batch() Batch {
	b := m.out
	b.Put = slices.DeleteFunc(b.Put, func(r Record) bool { return r.Address == "" })
	b.Begin = slices.DeleteFunc(b.Begin, func(o Operation) bool { return o.ID == "" })
	return b
}
