package state_test

import (
	"testing"

	"github.com/davit-sh/davit/state"
)

// What is renamed takes everything along that names it, operations that did not end as well.
func TestRename(t *testing.T) {
	s := &state.Snapshot{
		Records:    map[string]state.Record{"a": {Address: "a"}, "b": {Address: "b", DependsOn: []string{"x", "a"}}},
		Operations: map[string]state.Operation{"1": {ID: "1", Address: "a"}, "2": {ID: "2", Address: "b", DependsOn: []string{"a"}}, "3": {ID: "3", Address: "x"}},
	}
	b, now := state.Rename(s, []state.Move{{From: "a", To: "c"}, {From: "gone", To: "d"}})
	if len(b.Move) != 1 || len(b.Put) != 1 || len(b.Begin) != 2 || b.Check() != nil {
		t.Errorf("the batch is %+v", b)
	}
	if now.Records["c"].Address != "c" || now.Records["b"].DependsOn[1] != "c" || len(now.Records) != 2 {
		t.Errorf("the records are %+v", now.Records)
	}
	if now.Operations["1"].Address != "c" || now.Operations["2"].DependsOn[0] != "c" || now.Operations["3"].Address != "x" {
		t.Errorf("the operations are %+v", now.Operations)
	}
	if s.Records["b"].DependsOn[1] != "a" || s.Operations["1"].Address != "a" {
		t.Errorf("what was given is another one: %+v", s)
	}
}
