package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	helmloader "helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/sdk"
)

// chart renders a Helm chart as "helm template" does: no cluster is asked. Tests are
// left out; charts with other hooks are refused, for nothing would run them in their order.
func (l *loader) chart(dir string) ([]Object, error) {
	c, err := l.readChart(dir)
	if err != nil {
		return nil, chartError(dir, nil, err)
	}
	rendered, err := renderChart(c, l.options)
	if err != nil {
		return nil, chartError(dir, c, err)
	}
	var objects []Object
	for _, crd := range c.CRDObjects() {
		found, err := parse(path.Join(dir, crd.Name), crd.File.Data)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if path.Base(name) == "NOTES.txt" || strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		file := path.Join(dir, strings.TrimPrefix(name, c.Name()+"/"))
		found, err := parse(file, []byte(rendered[name]))
		if err != nil {
			return nil, err
		}
		for _, x := range found {
			u := unstructured.Unstructured{Object: x.Object}
			hook := u.GetAnnotations()["helm.sh/hook"]
			switch {
			case strings.HasPrefix(hook, "test"):
				continue
			case hook != "":
				return nil, hookError(dir, fmt.Sprintf("%s in %s is a %s hook, which davit does not run: remove the annotation, or switch it off in the chart's values",
					short(x.Object), file, hook))
			}
			x.File = file
			objects = append(objects, x)
		}
	}
	return objects, nil
}

func (l *loader) readChart(dir string) (*chart.Chart, error) {
	var files []*helmloader.BufferedFile
	err := fs.WalkDir(l.tree, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := l.read(name)
		if err != nil {
			return err
		}
		files = append(files, &helmloader.BufferedFile{Name: relative(dir, name), Data: data})
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := archives{left: maxTotal, entries: maxReads}
	for _, f := range files {
		if err := a.check(path.Join(dir, f.Name), f.Name, f.Data, 0); err != nil {
			return nil, err
		}
	}
	return helmloader.LoadFiles(files)
}

func relative(dir, name string) string {
	if dir == "." {
		return name
	}
	return strings.TrimPrefix(name, dir+"/")
}

func renderChart(c *chart.Chart, o Options) (map[string]string, error) {
	for _, dependency := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(have *chart.Chart) bool { return have.Name() == dependency.Name }) {
			return nil, &sdk.Error{Summary: fmt.Sprintf("the dependency %q of the chart %s is not in its charts/", dependency.Name, c.Name()), Code: "kubernetes.helm", Path: sdk.At("path"),
				Hint: "Run helm dependency build and commit the result."}
		}
	}
	if err := checkSchemas(c, 0); err != nil {
		return nil, err
	}
	values := o.Values
	if values == nil {
		values = map[string]any{}
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: c.Name(), Namespace: o.Namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValuesWithSchemaValidation(c, values, release, chartutil.DefaultCapabilities, true)
	if err != nil {
		return nil, err
	}
	if merged, ok := all["Values"].(chartutil.Values); ok {
		if err := checkValues(c, merged.AsMap()); err != nil {
			return nil, err
		}
	}
	// No client: the template function "lookup" finds nothing, and none resolves host names.
	rendered, err := engine.Engine{}.Render(c, all)
	if err != nil {
		return nil, err
	}
	total := 0
	for name, text := range rendered {
		if total += len(text); total > maxTotal || len(text) > maxFile {
			return nil, tooMuch(name, "renders to more text than the limit of an application (%d MiB)", maxTotal>>20)
		}
	}
	return rendered, nil
}

func chartError(dir string, c *chart.Chart, err error) error {
	if finding, ok := errors.AsType[*sdk.Error](err); ok {
		return finding
	}
	if findings, ok := errors.AsType[sdk.Errors](err); ok {
		return findings
	}
	return &sdk.Error{Summary: fmt.Sprintf("the Helm chart in %s cannot be rendered", shown(dir)),
		Detail: chartMessage(c, err.Error()), Code: "kubernetes.helm", Path: sdk.At("path")}
}

func hookError(dir, message string) error {
	return &sdk.Error{Summary: fmt.Sprintf("the Helm chart in %s cannot be rendered", shown(dir)), Detail: bounded(message), Code: "kubernetes.helm", Path: sdk.At("path")}
}
