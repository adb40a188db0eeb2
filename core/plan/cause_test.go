package plan_test

import (
	"testing"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/sdk"
)

// Plugins and plans have the same causes, in the same order.
func TestCausesAreThoseOfThePlugins(t *testing.T) {
	ours, theirs := plan.Causes(), sdk.Causes()
	if len(ours) != len(theirs) {
		t.Fatalf("plans have %v, plugins have %v", ours, theirs)
	}
	for i, cause := range ours {
		if string(cause) != string(theirs[i]) {
			t.Errorf("cause %d is %q in plans and %q in plugins", i, cause, theirs[i])
		}
	}
}
