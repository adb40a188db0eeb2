package load

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/davit-sh/davit/sdk"
)

var kustomizationNames = konfig.RecognizedKustomizationFileNames()

// kustomizationIn returns the name of a folder's kustomization; empty when there is none.
func (s *source) kustomizationIn(dir string) string {
	for _, name := range kustomizationNames {
		if s.exists(path.Join(dir, name)) {
			return path.Join(dir, name)
		}
	}
	return ""
}

// kustomization builds a kustomization. All files come from the tree; bases and files
// of elsewhere are refused before Kustomize would fetch them.
func (l *loader) kustomization(dir string) ([]Object, error) {
	options := krusty.MakeDefaultOptions()
	// Files beside the kustomization may be used: the file system ends at the tree's root.
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.PluginConfig = types.DisabledPluginConfig()
	files := &kustomizeFiles{source: l.source}
	result, err := krusty.MakeKustomizer(options).Run(files, path.Join("/", dir))
	if files.refused != nil {
		return nil, files.refused
	}
	if err != nil {
		return nil, l.kustomizeError(dir, err)
	}
	var objects []Object
	for _, r := range result.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, l.kustomizeError(dir, err)
		}
		found, err := parse(l.kustomizationIn(dir), text)
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].File = l.kustomizationIn(dir)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func (s *source) kustomizeError(dir string, err error) error {
	message := strings.Join(strings.Fields(err.Error()), " ")
	for _, secret := range s.secrets {
		message = strings.ReplaceAll(message, secret, mask)
	}
	return &sdk.Error{Summary: fmt.Sprintf("Kustomize cannot build %s", shown(dir)), Detail: bounded(message), Code: "kubernetes.kustomize", Path: sdk.At("path")}
}

// mask stands for a value that is not shown.
const mask = "(sensitive)"

// remember keeps the literal values of a kustomization's secret generators, which Kustomize quotes in its errors.
func (s *source) remember(k *types.Kustomization) {
	for _, generator := range k.SecretGenerator {
		for _, literal := range generator.LiteralSources {
			if _, value, found := strings.Cut(literal, "="); found && value != "" {
				s.secrets = append(s.secrets, value)
			} else if literal != "" {
				s.secrets = append(s.secrets, literal)
			}
		}
	}
}
