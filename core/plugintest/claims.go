package plugintest

import (
	"slices"

	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// judgeWords looks at the causes and the claims of a plan: causes are of the closed list, claims are each there once.
func judgeWords(res *pluginv1.PlanResult) outcome {
	const mend = "Send only causes of the closed list, and each claim once. See \"Causes\" and \"Claims\" in docs/plugin-protocol.md."
	causes := slices.Clone(res.GetCauses())
	for _, i := range res.GetItems() {
		causes = append(causes, i.GetCauses()...)
	}
	for _, c := range causes {
		if !plan.Cause(c).Valid() {
			return fail(mend, "the cause %q does not exist", short(c))
		}
	}
	seen := map[string]bool{}
	for _, c := range res.GetClaims() {
		switch {
		case c == "":
			return fail(mend, "a claim is empty")
		case seen[c]:
			return fail(mend, "the claim %q occurs twice", short(c))
		}
		seen[c] = true
	}
	return pass()
}

// judgeStable compares the claims of an instance that was planned twice: before its apply, and with nothing to do.
func judgeStable(planned, again []string) outcome {
	const mend = "Send the same claims whenever the same configuration is planned, also with ACTION_NONE."
	a, b := slices.Sorted(slices.Values(planned)), slices.Sorted(slices.Values(again))
	if !slices.Equal(a, b) {
		return fail(mend, "it claimed %q, but after its apply %q", a, b)
	}
	return pass()
}
