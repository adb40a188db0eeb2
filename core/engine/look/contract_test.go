package look

import (
	"testing"

	"github.com/davit-sh/davit/core/kinds"
)

// Every kind of the table that is planned has a contract, of the class that the table says, and there are no others.
func TestEveryKindHasItsContract(t *testing.T) {
	planned := 0
	for _, k := range kinds.All() {
		c, ok := contracts[k.Name]
		if k.Class == kinds.Told {
			if ok {
				t.Errorf("%s is only told of events, and has a contract", k.Name)
			}
			continue
		}
		planned++
		_, looks := c.(observed)
		_, makes := c.(managed)
		if looks != (k.Class == kinds.Observed) || makes != (k.Class == kinds.Managed) {
			t.Errorf("%s: its contract %T does not fit its class", k.Name, c)
		}
	}
	if len(contracts) != planned {
		t.Errorf("there are %d contracts for %d kinds", len(contracts), planned)
	}
}
