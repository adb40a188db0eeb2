package kubernetes

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
)

// shortestHidden is the length from which a value is replaced wherever it stands in a text. A shorter one is replaced where it stands alone.
const shortestHidden = 4

// redactor takes the values of rendered Secrets, and of whatever else is sensitive in objects, out of texts.
func redactor(objects []render.Object) func(string) string {
	var values []string
	add := func(v any) {
		text, ok := v.(string)
		if !ok {
			text = fmt.Sprint(v)
		}
		values = append(values, text)
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
			values = append(values, string(plain), strings.TrimSpace(string(plain)))
		}
	}
	for _, o := range objects {
		o.Sensitive.Values(o.Object, add)
		if !render.IsSecret(o.Unstructured) {
			continue
		}
		for _, field := range []string{"data", "stringData"} {
			texts, _ := o.Object[field].(map[string]any)
			for _, v := range texts {
				add(v)
			}
		}
	}
	values = slices.DeleteFunc(values, func(v string) bool { return len(v) < 2 }) // one character is no secret
	// Longer ones first, for one may contain another.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	values = slices.Compact(values)
	return func(text string) string {
		for _, v := range values {
			if len(v) >= shortestHidden {
				text = strings.ReplaceAll(text, v, render.Mask)
			} else {
				text = alone(v).ReplaceAllString(text, "${1}"+render.Mask+"${2}")
			}
		}
		return text
	}
}

// alone matches a text that is quoted, or that stands between spaces.
func alone(v string) *regexp.Regexp {
	return regexp.MustCompile("(^|[\\s\"'`=:(\\[])" + regexp.QuoteMeta(v) + "($|[\\s\"'`,;:)\\]])")
}
