// Package render turns a folder of a source's tree into Kubernetes objects: plain YAML
// and JSON, a kustomization, or a Helm chart. It reads nothing but the tree that it is
// given, runs nothing and talks to nobody.
package render

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/mask"
	"github.com/davit-sh/davit/plugins/kubernetes/render/cell"
	"github.com/davit-sh/davit/plugins/kubernetes/render/load"
	"github.com/davit-sh/davit/sdk"
)

// Annotation on every object that davit applies: the address of its application.
const Annotation = "davit.sh/application"

// CodeEmpty is the code of the error about a folder without objects.
const CodeEmpty = "kubernetes.empty"

// Options say what to render and what to change in it.
type Options struct {
	Path            string // folder in the tree; "" or "." is its root
	Recursive       bool   // plain YAML: sub-folders too
	Namespace       string // of namespaced objects that name none; empty: they keep none
	CreateNamespace bool   // add the Namespace object unless the folder has it
	Application     string // address for Annotation; none when empty
	Labels          map[string]string
	Images          map[string]sdk.Value[string] // image name without tag or digest -> reference
	Values          map[string]any               // of a Helm chart
	AllowEmpty      bool                         // a folder without objects is not an error
	Sensitive       [][]any                      // paths of the configuration that are sensitive, as sdk.Sensitive gives them
	Scope           Scope                        // asked for kinds that neither Kubernetes nor a rendered CRD defines; may be nil
}

// Scope tells whether objects of a kind live in a namespace; known is false when nobody can say yet.
type Scope func(ctx context.Context, gvk schema.GroupVersionKind) (namespaced, known bool, err error)

// Object is one rendered object and the file that it is from.
type Object struct {
	*unstructured.Unstructured
	File string // "deploy/web.yaml:12"; the folder for objects of a kustomization or chart
	// Added says that davit made the object: the Namespace of CreateNamespace.
	Added bool
	// Sensitive says which parts of the object depend on something sensitive; nil: none.
	Sensitive *mask.Tree
}

// Set is everything that a folder renders to.
type Set struct {
	Objects []Object // in the order of their keys
	// Unknown holds the texts that stand for what is known after apply only (images, and what depends on unknown values of a
	// chart), and what is known of the start of each.
	Unknown map[string]string
	// Chosen holds the references, and placeholders, that Options.Images put into the objects, and the names in Options.Images.
	Chosen map[string]string
	// Digest is over the objects as the folder has them, without any value of a Secret and whatever else is sensitive, and
	// over what the options change in them, without the images. It does not depend on what a cluster knows. It
	// is empty if values of a chart are unknown.
	Digest string
}

// workers render for all applications of this process.
var workers = cell.New()

// Render reads and renders the folder in a worker of package cell. Findings are *sdk.Error or sdk.Errors.
func Render(ctx context.Context, tree fs.FS, o Options) (*Set, error) {
	dir, err := cleanDir(tree, o.Path)
	if err != nil {
		return nil, err
	}
	twins := o.twins()
	objects, err := loadObjects(ctx, tree, dir, o)
	if err != nil {
		return nil, conceal(err, twins, func(t *twin) error {
			_, err := loadObjects(ctx, tree, dir, t.Options)
			return err
		})
	}
	loadTwins(ctx, tree, dir, twins)
	if err := noSensitiveNames(objects, twins); err != nil {
		return nil, err
	}
	markSensitive(objects, twins)
	digest := o.digest(objects)
	finishTwins(ctx, twins)
	set, err := finish(ctx, objects, o)
	if err != nil {
		return nil, err
	}
	set.Digest = digest
	if err := noSensitiveNames(set.Objects, twins); err != nil {
		return nil, err
	}
	markSensitive(set.Objects, twins)
	return set, nil
}

// loadObjects reads the objects as the folder has them.
func loadObjects(ctx context.Context, tree fs.FS, dir string, o Options) ([]Object, error) {
	loaded, err := workers.Folder(ctx, tree, load.Options{Dir: dir, Recursive: o.Recursive, Namespace: o.Namespace, Values: o.Values})
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(loaded)+1)
	for _, x := range loaded {
		objects = append(objects, Object{Unstructured: &unstructured.Unstructured{Object: x.Object}, File: x.File})
	}
	if len(objects) == 0 && !o.AllowEmpty {
		return nil, &sdk.Error{
			Summary: fmt.Sprintf("%s has no Kubernetes objects", shown(dir)), Code: CodeEmpty, Path: sdk.At("path"),
			Hint: "Applying it would delete all objects of the application. Set allow_empty = true if that is wanted.",
		}
	}
	return addNamespace(objects, o), nil
}

// finish makes the objects what the options want, in the order of their keys. The set that it returns has no digest.
func finish(ctx context.Context, objects []Object, o Options) (*Set, error) {
	if err := setScope(ctx, objects, o); err != nil {
		return nil, err
	}
	if err := unique(objects); err != nil {
		return nil, err
	}
	for _, object := range objects {
		normalise(object.Unstructured)
		setMetadata(object, o)
	}
	slices.SortStableFunc(objects, func(a, b Object) int { return strings.Compare(Key(a.Unstructured), Key(b.Unstructured)) })
	set := &Set{Objects: objects}
	var err error
	set.Unknown, set.Chosen, err = setImages(objects, o.Images)
	return set, err
}

// Key names an object: "apps/v1/Deployment/shop/web", "v1/Namespace/shop".
func Key(u *unstructured.Unstructured) string {
	parts := []string{u.GetAPIVersion(), u.GetKind()}
	if ns := u.GetNamespace(); ns != "" {
		parts = append(parts, ns)
	}
	return strings.Join(append(parts, u.GetName()), "/")
}

// Short names an object for people: "Deployment/web".
func Short(u *unstructured.Unstructured) string { return u.GetKind() + "/" + u.GetName() }

// Name is an object's name with its namespace: "shop/web".
func Name(u *unstructured.Unstructured) string {
	if ns := u.GetNamespace(); ns != "" {
		return ns + "/" + u.GetName()
	}
	return u.GetName()
}

// Decode reads one object's JSON, nil when it is none. Numbers become int64 or float64.
func Decode(text []byte) map[string]any { return load.Decode(text) }

// IsSecret tells whether the object is a v1 Secret.
func IsSecret(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Secret" && u.GetAPIVersion() == "v1"
}

// identity is what two objects must not share: the same object under another version is the same object.
func identity(u *unstructured.Unstructured) string {
	gvk := u.GroupVersionKind()
	return strings.Join([]string{gvk.Group, gvk.Kind, u.GetNamespace(), u.GetName()}, "/")
}

func unique(objects []Object) error {
	seen := map[string]Object{}
	var errs sdk.Errors
	for _, o := range objects {
		first, twice := seen[identity(o.Unstructured)]
		if !twice {
			seen[identity(o.Unstructured)] = o
			continue
		}
		errs = append(errs, &sdk.Error{
			Summary: fmt.Sprintf("%s is defined twice", Short(o.Unstructured)),
			Detail:  fmt.Sprintf("Once in %s and again in %s.", first.File, o.File),
			Code:    "kubernetes.duplicate", Path: sdk.At("path"),
			Hint: "Remove one of them.",
		})
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func cleanDir(tree fs.FS, dir string) (string, error) {
	bad := func(what string) error {
		return &sdk.Error{Summary: fmt.Sprintf("path %q %s", dir, what), Code: "kubernetes.path", Path: sdk.At("path"),
			Hint: "path is a folder in the source, relative to its root."}
	}
	clean := path.Clean(strings.TrimSuffix(dir, "/"))
	if dir == "" {
		clean = "."
	}
	if !fs.ValidPath(clean) {
		return "", bad("leads out of the source")
	}
	info, err := fs.Stat(tree, clean)
	switch {
	case err != nil:
		return "", bad("is not in the source")
	case !info.IsDir():
		return "", bad("is a file, not a folder")
	}
	return clean, nil
}

func shown(dir string) string {
	if dir == "." {
		return "the source's root folder"
	}
	return dir
}
