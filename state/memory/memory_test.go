package memory_test

import (
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

func TestConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) func() state.Store {
		s := memory.New()
		return func() state.Store { return s }
	})
}
