package choose

import (
	"strconv"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
)

func refused(n int) []plan.Rejection {
	list := make([]plan.Rejection, n)
	for i := range list {
		list[i] = plan.Rejection{Tag: "0.0." + strconv.Itoa(i), Reason: "not in the range"}
	}
	return list
}

// The refused tags have the type of the output that policies promise, so that they are not converted.
func TestRejectedTagsHaveTheTypeOfTheOutput(t *testing.T) {
	want := cty.List(cty.Object(map[string]cty.Type{"tag": cty.String, "reason": cty.String}))
	for _, n := range []int{0, 2} {
		if v := rejectedTags(refused(n)); !v.Type().Equals(want) || v.LengthInt() != n {
			t.Errorf("%d tags: %#v", n, v)
		}
	}
}

// BenchmarkRejectedTags makes the output of a policy that refuses half of 100,000 tags.
func BenchmarkRejectedTags(b *testing.B) {
	list := refused(50_000)
	t := cty.Object(map[string]cty.Type{"tag": cty.String, "rejected": cty.List(rejectedTag)})
	b.ReportAllocs()
	for b.Loop() {
		types.Fit(cty.ObjectVal(map[string]cty.Value{"tag": cty.StringVal("1.0.0"), "rejected": rejectedTags(list)}), t)
	}
}
