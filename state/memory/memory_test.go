package memory_test

import (
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

func TestConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) statetest.Backend {
		s := memory.New()
		return statetest.Backend{
			Open:   func() state.Store { return s },
			Damage: func(_ *testing.T, what statetest.Item) { s.Damage(what.Kind, what.Name, what.Number) },
			Newer:  func(*testing.T) { s.SetFormat(state.Format + 1) },
		}
	})
}
