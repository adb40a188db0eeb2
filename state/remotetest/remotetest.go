// Package remotetest is what the conformance suite of state backends needs to know of the remote ones: how
// their stored form is damaged. Tests of other modules use it against real servers.
package remotetest

import (
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
	"github.com/davit-sh/davit/state/statetest"
)

// Backend is a remote state for statetest. open is that of statetest.Backend; what it returns comes from
// one of the remote backends.
func Backend(open func() state.Store) statetest.Backend {
	return statetest.Backend{
		Open: open,
		Damage: func(t *testing.T, what statetest.Item) {
			t.Helper()
			if err := objects.Spoil(t.Context(), open().(*objects.Store), what.Kind, what.Name, what.Number); err != nil {
				t.Fatal(err)
			}
		},
		Newer: func(t *testing.T) {
			t.Helper()
			if err := objects.SetFormat(t.Context(), open().(*objects.Store), state.Format+1); err != nil {
				t.Fatal(err)
			}
		},
	}
}
