package load

import (
	"fmt"
	"path"

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
	return &sdk.Error{Summary: fmt.Sprintf("Kustomize cannot build %s", shown(dir)), Detail: s.kustomizeMessage(err.Error()), Code: "kubernetes.kustomize", Path: sdk.At("path")}
}
