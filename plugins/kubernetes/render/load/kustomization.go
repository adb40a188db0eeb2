package load

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/sdk"
)

// check refuses everything in a kustomization that is not of the tree, before Kustomize acts on it. The kustomization is read
// by Kustomize's own function. Every field of a kustomization is looked at here or listed in harmless.
func (k *kustomizeFiles) check(file string, data []byte) error {
	var z types.Kustomization
	if err := z.Unmarshal(data); err != nil {
		return k.kustomizeError(path.Dir(file), fmt.Errorf("%s: %w", file, err))
	}
	if len(z.OpenAPI) > 0 {
		k.openAPI = true
	}
	if len(z.HelmCharts) > 0 || len(z.HelmChartInflationGenerator) > 0 || z.HelmGlobals != nil {
		return refuse(file, "a Helm chart, which Kustomize would fetch and render with another program")
	}
	dir := path.Dir(file)
	for _, entry := range folders(&z) {
		if why := objection(dir, entry); why != "" {
			return refuse(file, "%q, %s", quotable(entry), why)
		}
		if _, err := fs.Stat(k.tree, path.Join(dir, entry)); err != nil {
			return refuse(file, "%q, which is not in the source; remote bases are not fetched", quotable(entry))
		}
	}
	for _, entry := range files(&z) {
		if why := objection(dir, entry); why != "" {
			return refuse(file, "the file %q, %s", quotable(entry), why)
		}
	}
	for _, p := range z.PatchesStrategicMerge { //nolint:staticcheck // deprecated fields must not be a way out either
		// Either a patch or a file: Kustomize tries both.
		if why := objection(dir, string(p)); why != "" && (remote(string(p)) || !isObject(string(p))) {
			return refuse(file, "the patch %q, %s", quotable(string(p)), why)
		}
	}
	for _, entry := range join(z.Generators, z.Transformers, z.Validators) {
		if err := k.checkPlugin(file, entry); err != nil {
			return err
		}
	}
	return nil
}

func refuse(file, format string, args ...any) error {
	return &sdk.Error{Summary: fmt.Sprintf("%s asks for %s", file, fmt.Sprintf(format, args...)), Code: "kubernetes.remote", Path: sdk.At("path"),
		Hint: "All applied files must be in the source, so that a reviewed plan cannot change. Copy the files into the source, and refer to them by path."}
}

// harmless are the fields of a kustomization that name no files.
var harmless = []string{
	"TypeMeta", "MetaData", "NamePrefix", "NameSuffix", "Namespace", "CommonLabels", "Labels", "CommonAnnotations", "Images", "ImageTags",
	"Replicas", "Vars", "SortOptions", "GeneratorOptions", "BuildMetadata",
}

// folders are the entries that Kustomize reads as a file or else as a base. They must be there: it clones what is not.
func folders(k *types.Kustomization) []string {
	return join(k.Resources, k.Bases, k.Components) //nolint:staticcheck // deprecated fields must not be a way out either
}

// files are the entries that are loaded by name: Kustomize fetches those that are URLs.
func files(k *types.Kustomization) []string {
	all := join(k.Crds, k.Configurations)
	for _, p := range append(append([]types.Patch{}, k.Patches...), k.PatchesJson6902...) { //nolint:staticcheck // deprecated fields must not be a way out either
		all = append(all, p.Path)
	}
	for _, r := range k.Replacements {
		all = append(all, r.Path)
	}
	all = append(all, k.OpenAPI["path"])
	for _, g := range k.ConfigMapGenerator {
		all = append(all, pairFiles(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		all = append(all, pairFiles(g.KvPairSources)...)
	}
	return join(all)
}

// pairFiles are the files of a generator's key-value pairs: "key=path" or a path.
func pairFiles(s types.KvPairSources) []string {
	all := join(s.EnvSources, []string{s.EnvSource})
	for _, f := range s.FileSources {
		if _, name, found := strings.Cut(f, "="); found {
			f = name
		}
		all = append(all, f)
	}
	return all
}

// checkPlugin looks into the configuration of Kustomize's built-in plugins, which may name files as well.
func (k *kustomizeFiles) checkPlugin(file, entry string) error {
	text := []byte(entry)
	if remote(entry) || !isObject(entry) {
		dir := path.Dir(file)
		if why := objection(dir, entry); why != "" {
			return refuse(file, "the plugin %q, %s", quotable(entry), why)
		}
		name := path.Join(dir, entry)
		if !k.exists(name) {
			return refuse(file, "%q, which is not a file of the source; generators, transformers and validators must be files", quotable(entry))
		}
		var err error
		if text, err = k.read(name); err != nil {
			return err
		}
	}
	if err := checkBounds(file, text); err != nil {
		return err
	}
	for _, d := range split(text) {
		var value any
		if yaml.Unmarshal(d.text, &value) != nil {
			return refuse(file, "the plugin %q, which cannot be read", quotable(entry))
		}
		if m, ok := value.(map[string]any); ok && m["kind"] == "HelmChartInflationGenerator" {
			return refuse(file, "a Helm chart, which Kustomize would fetch and render with another program")
		}
		if found := remoteIn(value); found != "" {
			return refuse(file, "%q in a plugin's configuration; remote files are not fetched", quotable(found))
		}
	}
	return nil
}

// isObject tells whether an entry is the text of an object, not the name of a file.
func isObject(entry string) bool {
	var value map[string]any
	return yaml.Unmarshal([]byte(entry), &value) == nil && value["kind"] != nil
}

// remoteIn finds a text that Kustomize would fetch if it were a file's name.
func remoteIn(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if found := remoteIn(e); found != "" {
				return found
			}
		}
	case []any:
		for _, e := range v {
			if found := remoteIn(e); found != "" {
				return found
			}
		}
	case string:
		_, after, _ := strings.Cut(v, "=")
		if isURL(v) || isURL(after) {
			return v
		}
	}
	return ""
}

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		for _, s := range l {
			if s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}
