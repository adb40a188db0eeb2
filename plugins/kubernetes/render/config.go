package render

import (
	"context"
	"fmt"
	"io/fs"
	"reflect"

	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// Config is what the configurations of all applications that render manifests have in common.
type Config struct {
	Source          sdk.SourceRef                `davit:"source" doc:"Where the manifests are: a source block."`
	Path            string                       `davit:"path,optional" default:"." doc:"Folder in the source: plain YAML or JSON files, a kustomization, or a Helm chart."`
	Recursive       bool                         `davit:"recursive,optional" default:"false" doc:"Read the subfolders of a folder of plain files as well."`
	Namespace       string                       `davit:"namespace,optional" doc:"Namespace of the objects without one. Default on a cluster: \"default\"."`
	CreateNamespace bool                         `davit:"create_namespace,optional" default:"true" doc:"Create the namespace if it does not exist."`
	Labels          map[string]string            `davit:"labels,optional" doc:"Labels for every object."`
	Images          map[string]sdk.Value[string] `davit:"images,optional" doc:"Image references to use, by the image name in the manifests without tag or digest."`
	AllowEmpty      bool                         `davit:"allow_empty,optional" default:"false" doc:"Accept a folder without objects. All objects of the application are then deleted."`
	Values          sdk.Value[string]            `davit:"values,optional" doc:"Values of a Helm chart, as YAML or JSON: jsonencode({...})."`
}

// SameInputs tells whether two configurations render the same objects: their sources have the same files, and all other arguments are equal, the sensitive
// ones among them.
func (c Config) SameInputs(other Config) bool {
	same := c.Source.Tree.Digest == other.Source.Tree.Digest
	c.Source, other.Source = sdk.SourceRef{}, sdk.SourceRef{}
	return same && reflect.DeepEqual(c, other)
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
		return nil, &sdk.Error{Summary: "values must be a YAML or JSON object", Code: "kubernetes.helm", Path: sdk.At("values")}
	}
	return Render(ctx, files, Options{
		Path: c.Path, Recursive: c.Recursive, Namespace: c.Namespace, CreateNamespace: c.CreateNamespace, Application: address,
		Labels: c.Labels, Images: c.Images, Values: values, AllowEmpty: c.AllowEmpty, Scope: scope, Sensitive: sdk.Sensitive(ctx),
	})
}
