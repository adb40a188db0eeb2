package plugintest

import (
	"strings"
	"testing"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func TestCausesAndClaimsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		result *pluginv1.PlanResult
		want   string
	}{
		"none":              {&pluginv1.PlanResult{}, ""},
		"good ones":         {&pluginv1.PlanResult{Causes: []string{"image", "config"}, Claims: []string{"file:/a", "file:/b"}, Items: []*pluginv1.Item{{Causes: []string{"removed"}, Claim: "file:/a"}}}, ""},
		"a word of its own": {&pluginv1.PlanResult{Causes: []string{"weather"}}, `the cause "weather" does not exist`},
		"one at an item":    {&pluginv1.PlanResult{Items: []*pluginv1.Item{{Causes: []string{"weather"}}}}, `the cause "weather" does not exist`},
		"an empty claim":    {&pluginv1.PlanResult{Claims: []string{""}}, "a claim is empty"},
		"one claim twice":   {&pluginv1.PlanResult{Claims: []string{"a", "b", "a"}}, `the claim "a" occurs twice`},
	} {
		if o := judgeWords(c.result); (o.status == Passed) != (c.want == "") || !strings.Contains(o.seen, c.want) {
			t.Errorf("%s: %+v, want %q", name, o, c.want)
		}
	}
	if o := judgeStable([]string{"a", "b"}, []string{"b", "a"}); o.status != Passed {
		t.Errorf("another order: %+v", o)
	}
	if o := judgeStable([]string{"a"}, []string{"a", "b"}); o.status != Failed {
		t.Errorf("one more: %+v", o)
	}
}
