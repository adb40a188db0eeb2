// Package load reads a folder of a source's tree as Kubernetes objects: plain YAML and JSON, a kustomization, or a Helm chart.
//
// The folder was written by strangers. Everything that reaches out of the tree is refused before a library sees it, and what a
// few bytes can blow up (aliases, nesting, archives, templates) has bounds. The package keeps no state of its own, but the
// libraries do: Result.Spent says when the process must not render for anybody else.
package load

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/sdk"
)

// Options say what to load.
type Options struct {
	Dir       string         `json:"dir"` // folder in the tree, clean; "." is its root
	Recursive bool           `json:"recursive,omitempty"`
	Namespace string         `json:"namespace,omitempty"` // of the release of a Helm chart
	Values    map[string]any `json:"values,omitempty"`    // of a Helm chart
}

// Object is one object and the file that it is from.
type Object struct {
	Object map[string]any `json:"object"`
	File   string         `json:"file"` // "deploy/web.yaml:12"; the file of a template, or the kustomization
}

// Result is what a folder holds.
type Result struct {
	Objects []Object
	// Spent says that libraries keep something of this folder that would change how the next one is rendered.
	Spent bool
}

// Folder reads the folder. Findings are *sdk.Error or sdk.Errors.
func Folder(tree fs.FS, o Options) (Result, error) {
	l := &loader{source: &source{tree: tree}, options: o}
	var objects []Object
	var err error
	switch {
	case l.kustomizationIn(o.Dir) != "":
		objects, err = l.kustomization(o.Dir)
	case l.exists(path.Join(o.Dir, "Chart.yaml")):
		objects, err = l.chart(o.Dir)
	default:
		objects, err = l.manifests(o.Dir, o.Recursive)
	}
	return Result{Objects: objects, Spent: l.openAPI}, err
}

// loader is one load of one folder.
type loader struct {
	*source
	options Options
}

func shown(dir string) string {
	if dir == "." {
		return "the source's root folder"
	}
	return dir
}

// short names an object for people: "Deployment/web".
func short(object map[string]any) string {
	u := unstructured.Unstructured{Object: object}
	return u.GetKind() + "/" + u.GetName()
}

// tooMuch is the error of a bound that a file exceeds.
func tooMuch(file, format string, args ...any) error {
	return &sdk.Error{Summary: fmt.Sprintf("%s %s", file, fmt.Sprintf(format, args...)), Code: "kubernetes.bound", Path: sdk.At("path"),
		Hint: "Limits protect the machine from a single folder. Split the folder, or commit the generated files."}
}

// bounded cuts a text that came from a library.
func bounded(message string) string {
	const most = 600
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > most {
		return strings.ToValidUTF8(message[:most], "") + "..."
	}
	return message
}
