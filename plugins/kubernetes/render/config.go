package render

import (
	"context"
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// Config is what the configurations of all applications that render manifests have in common.
type Config struct {
	Source          sdk.SourceRef                `davit:"source" doc:"Where the manifests are: a source block."`
	Path            string                       `davit:"path,optional" default:"." doc:"Folder in the source: plain YAML or JSON files, a kustomization, or a Helm chart."`
	Recursive       bool                         `davit:"recursive,optional" default:"false" doc:"Read the sub-folders of a folder of plain files, too."`
	Namespace       string                       `davit:"namespace,optional" doc:"Namespace of the objects that name none. On a cluster, without it: default."`
	CreateNamespace bool                         `davit:"create_namespace,optional" default:"true" doc:"Create the namespace if it is not there."`
	Labels          map[string]string            `davit:"labels,optional" doc:"Labels for every object."`
	Images          map[string]sdk.Value[string] `davit:"images,optional" doc:"Images to run: the image as the manifests name it, without tag or digest, to the reference to use."`
	AllowEmpty      bool                         `davit:"allow_empty,optional" default:"false" doc:"Accept a folder that has no objects. All objects that the application had are deleted then."`
	Values          sdk.Value[string]            `davit:"values,optional" doc:"Values of a Helm chart, as YAML or JSON: jsonencode({...})."`
}

// Render renders the configured folder for the application at an address. scope may be nil.
func (c Config) Render(ctx context.Context, address string, scope Scope) (*Set, error) {
	files, err := tree.Open(c.Source.Tree)
	if err != nil {
		return nil, &sdk.Error{Summary: fmt.Sprintf("cannot read the files of %s", c.Source.Address), Err: err, Code: "kubernetes.source", Path: sdk.At("source")}
	}
	if c.Values.IsUnknown() {
		return c.renderPartial(ctx, files.FS(), address, scope)
	}
	return c.renderWith(ctx, files.FS(), address, scope, c.Values.OrZero())
}

// renderWith renders with values of a chart, which are YAML or JSON.
func (c Config) renderWith(ctx context.Context, files fs.FS, address string, scope Scope, text string) (*Set, error) {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		return nil, &sdk.Error{Summary: "values is neither YAML nor JSON of an object", Code: "kubernetes.helm", Path: sdk.At("values")}
	}
	return Render(ctx, files, Options{
		Path: c.Path, Recursive: c.Recursive, Namespace: c.Namespace, CreateNamespace: c.CreateNamespace, Application: address,
		Labels: c.Labels, Images: c.Images, Values: values, AllowEmpty: c.AllowEmpty, Scope: scope, Sensitive: sdk.Sensitive(ctx),
	})
}
