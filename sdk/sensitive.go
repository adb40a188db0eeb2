package sdk

import pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"

// sensitivePaths reads the paths of a request.
func sensitivePaths(list []*pluginv1.SensitivePath) [][]any {
	var out [][]any
	for _, p := range list {
		steps := []any{}
		for _, s := range p.GetSteps() {
			switch s := s.GetStep().(type) {
			case *pluginv1.PathStep_Attribute:
				steps = append(steps, s.Attribute)
			case *pluginv1.PathStep_Key:
				steps = append(steps, s.Key)
			case *pluginv1.PathStep_Index:
				steps = append(steps, int(s.Index))
			}
		}
		out = append(out, steps)
	}
	return out
}
