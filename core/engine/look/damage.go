package look

import (
	"github.com/davit-sh/davit/core/addr"
)

// LeaveOut notes that a plan does without an instance, because its record is damaged. It tells whether that is so.
func (r *Planner) LeaveOut(i addr.Instance) bool {
	if len(r.Moved.Damaged) == 0 {
		return false
	}
	name, is := r.Moved.Damaged[i.String()]
	if !is || r.Options.Import[i.String()] != "" {
		return false
	}
	r.Found.mu.Lock()
	defer r.Found.mu.Unlock()
	if r.Found.leftOut == nil {
		r.Found.leftOut = map[string]bool{}
	}
	r.Found.leftOut[name] = true
	return true
}
