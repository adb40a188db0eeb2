package render

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/sdk"
)

var kustomizationNames = konfig.RecognizedKustomizationFileNames()

func kustomizationIn(tree fs.FS, dir string) string {
	for _, name := range kustomizationNames {
		if exists(tree, path.Join(dir, name)) {
			return path.Join(dir, name)
		}
	}
	return ""
}

// loadKustomization builds a kustomization. All files come from the tree; bases and files
// of elsewhere are refused before Kustomize would fetch them.
func loadKustomization(tree fs.FS, dir string) ([]Object, error) {
	options := krusty.MakeDefaultOptions()
	// Files beside the kustomization may be used: the file system ends at the tree's root.
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.PluginConfig = types.DisabledPluginConfig()
	files := &confined{tree: tree}
	result, err := krusty.MakeKustomizer(options).Run(files, path.Join("/", dir))
	if files.refused != nil {
		return nil, files.refused
	}
	if err != nil {
		return nil, kustomizeError(tree, dir, err)
	}
	var objects []Object
	for _, r := range result.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, kustomizeError(tree, dir, err)
		}
		found, err := parse(kustomizationIn(tree, dir), text)
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].File = kustomizationIn(tree, dir)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func kustomizeError(tree fs.FS, dir string, err error) error {
	message := strings.Join(strings.Fields(err.Error()), " ")
	for _, secret := range literals(tree, dir) {
		message = strings.ReplaceAll(message, secret, Mask)
	}
	if len(message) > 600 {
		message = message[:600] + "..."
	}
	return &sdk.Error{Summary: fmt.Sprintf("Kustomize cannot build %s", shown(dir)), Detail: message, Code: "kubernetes.kustomize", Path: sdk.At("path")}
}

func refuse(file, format string, args ...any) error {
	return &sdk.Error{Summary: fmt.Sprintf("%s asks for %s", file, fmt.Sprintf(format, args...)), Code: "kubernetes.remote", Path: sdk.At("path"),
		Hint: "What is applied must be in the source, so that a reviewed plan stays what it is. Copy the files into it."}
}

// literals are the literal values of the folder's secret generators, which Kustomize quotes in its errors.
func literals(tree fs.FS, dir string) []string {
	data, err := readFile(tree, kustomizationIn(tree, dir))
	if err != nil {
		return nil
	}
	var k types.Kustomization
	if k.Unmarshal(data) != nil {
		return nil
	}
	var all []string
	for _, generator := range k.SecretGenerator {
		for _, literal := range generator.LiteralSources {
			all = append(all, literal)
			if _, value, found := strings.Cut(literal, "="); found && value != "" {
				all = append(all, value)
			}
		}
	}
	return all
}

// checkKustomization refuses everything in a kustomization that is not of the tree.
func checkKustomization(tree fs.FS, file string, data []byte) error {
	var k types.Kustomization
	if k.Unmarshal(data) != nil {
		return nil // Kustomize reports it
	}
	k.FixKustomization()
	if len(k.HelmCharts) > 0 || len(k.HelmChartInflationGenerator) > 0 || k.HelmGlobals != nil {
		return refuse(file, "a Helm chart, which another program would fetch and render")
	}
	for _, entry := range localEntries(&k) {
		if _, err := fs.Stat(tree, path.Join(path.Dir(file), entry)); err != nil {
			return refuse(file, "%q, which is not in the source; remote bases are not fetched", withoutUser(entry))
		}
	}
	for _, entry := range files(&k) {
		if remote(entry) {
			return refuse(file, "the remote file %q", withoutUser(entry))
		}
	}
	for _, entry := range plugins(&k) {
		if err := checkPlugin(tree, file, entry); err != nil {
			return err
		}
	}
	return nil
}

// localEntries must be there: Kustomize clones what is not.
func localEntries(k *types.Kustomization) []string {
	return join(k.Resources, k.Bases, k.Components) //nolint:staticcheck // deprecated fields must not be a way out either
}

// files are loaded by name: Kustomize fetches those that are URLs.
func files(k *types.Kustomization) []string {
	all := join(k.Crds, k.Configurations)
	for _, p := range k.PatchesStrategicMerge { //nolint:staticcheck // deprecated fields must not be a way out either
		all = append(all, string(p))
	}
	for _, p := range append(append([]types.Patch{}, k.Patches...), k.PatchesJson6902...) { //nolint:staticcheck // deprecated fields must not be a way out either
		all = append(all, p.Path)
	}
	for _, r := range k.Replacements {
		all = append(all, r.Path)
	}
	for _, p := range k.OpenAPI {
		all = append(all, p)
	}
	for _, g := range k.ConfigMapGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		all = append(all, sources(g.KvPairSources)...)
	}
	return all
}

func sources(s types.KvPairSources) []string {
	all := join(s.EnvSources, []string{s.EnvSource})
	for _, f := range s.FileSources {
		all = append(all, f)
		if _, name, found := strings.Cut(f, "="); found {
			all = append(all, name)
		}
	}
	return all
}

func plugins(k *types.Kustomization) []string {
	return join(k.Generators, k.Transformers, k.Validators)
}

// checkPlugin looks into the configuration of Kustomize's built-in plugins, which may name files as well.
func checkPlugin(tree fs.FS, file, entry string) error {
	text := []byte(entry)
	if !strings.Contains(entry, "\n") {
		name := path.Join(path.Dir(file), entry)
		if !exists(tree, name) {
			return refuse(file, "%q, which is not a file of the source, as generators, transformers and validators must be", withoutUser(entry))
		}
		data, err := readFile(tree, name)
		if err != nil {
			return err
		}
		text = data
	}
	for _, d := range split(text) {
		var value any
		if yaml.Unmarshal(d.text, &value) != nil {
			return refuse(file, "%q, which cannot be read", firstOf(entry))
		}
		if found := remoteIn(value); found != "" {
			return refuse(file, "%q in a plugin's configuration; remote files are not fetched", withoutUser(found))
		}
	}
	return nil
}

func firstOf(entry string) string {
	first, _, _ := strings.Cut(entry, "\n")
	return first
}

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
		if remote(v) || remote(after) {
			return v
		}
	}
	return ""
}

func remote(entry string) bool {
	u, err := url.Parse(entry)
	return err == nil && u.Scheme != "" && u.Host != ""
}

// withoutUser takes user and password out of a URL that is shown.
func withoutUser(entry string) string {
	u, err := url.Parse(entry)
	if err != nil || u.User == nil {
		return entry
	}
	u.User = nil
	return u.String()
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
