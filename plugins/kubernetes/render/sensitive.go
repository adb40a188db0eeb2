package render

import (
	"context"
	"errors"
	"io/fs"
	"maps"

	"github.com/davit-sh/davit/plugins/kubernetes/mask"
	"github.com/davit-sh/davit/sdk"
)

// twin is a folder that is rendered with another value at each sensitive place of the options.
type twin struct {
	Options
	objects []Object
	failed  bool // it tells nothing, so that everything counts as sensitive
}

// twins returns the options' twins. It returns none if nothing of the options is sensitive.
func (o Options) twins() []*twin {
	if len(o.Sensitive) == 0 {
		return nil
	}
	var list []*twin
	for n := 1; n <= mask.Twins; n++ {
		t := &twin{Options: o}
		changed := false
		for _, path := range o.Sensitive {
			did, able := t.change(path, n)
			changed, t.failed = changed || did, t.failed || !able
		}
		if changed || t.failed {
			list = append(list, t)
		}
	}
	return list
}

// change puts another value at a path of the configuration. changed is false if the path is about nothing that is rendered, able is false if
// there is no other value to render with.
func (t *twin) change(path []any, n int) (changed, able bool) {
	attribute, _ := path[0].(string)
	key := ""
	if len(path) > 1 {
		key, _ = path[1].(string)
	}
	switch attribute {
	case "values":
		values, found := mask.Replace(t.Values, path[1:], n)
		if !found {
			values = mask.Twin(t.Values, n)
		}
		t.Values, _ = values.(map[string]any)
	case "labels":
		t.Labels = maps.Clone(t.Labels)
		for k, v := range t.Labels {
			if len(path) == 1 || k == key {
				t.Labels[k], _ = mask.Twin(v, n).(string)
			}
		}
	case "images":
		t.Images = maps.Clone(t.Images)
		for k, v := range t.Images {
			if text, known := v.Get(); known && (len(path) == 1 || k == key) {
				other, _ := mask.Twin(text, n).(string)
				t.Images[k] = sdk.Known(other)
			}
		}
	case "namespace":
		t.Namespace, _ = mask.Twin(t.Namespace, n).(string)
	case "source", "path", "recursive", "create_namespace", "allow_empty":
		return true, false
	default:
		return false, true
	}
	return true, true
}

// masked are options without what is sensitive, for a digest.
func (o Options) masked() Options {
	for _, path := range o.Sensitive {
		switch path[0] {
		case "labels":
			labels := map[string]string{}
			for k, v := range o.Labels {
				if labels[k] = v; len(path) == 1 || k == path[1] {
					labels[k] = Mask
				}
			}
			o.Labels = labels
		case "namespace":
			o.Namespace = Mask
		}
	}
	return o
}

// markSensitive finds which parts of the objects depend on something sensitive.
func markSensitive(objects []Object, twins []*twin) {
	for i := range objects {
		objects[i].Sensitive = nil
	}
	for _, t := range twins {
		others := map[string]map[string]any{}
		for _, other := range t.objects {
			others[Key(other.Unstructured)] = other.Object
		}
		for i := range objects {
			other, there := others[Key(objects[i].Unstructured)]
			if t.failed || !there {
				objects[i].Sensitive = mask.Whole()
				continue
			}
			objects[i].Sensitive = objects[i].Sensitive.With(mask.Between(objects[i].Object, other))
		}
	}
}

// noSensitiveNames refuses objects that are named by something sensitive: names are in state, in plans and in the cluster's own logs.
func noSensitiveNames(objects []Object, twins []*twin) error {
	for _, t := range twins {
		if t.failed {
			continue
		}
		real, others := map[string]bool{}, map[string]bool{}
		for _, x := range objects {
			real[Key(x.Unstructured)] = true
		}
		for _, x := range t.objects {
			others[Key(x.Unstructured)] = true
		}
		strange := map[string]int{} // objects of a kind that only the twin has
		for _, x := range t.objects {
			if !real[Key(x.Unstructured)] {
				strange[x.GetKind()]++
			}
		}
		for _, x := range objects {
			if !others[Key(x.Unstructured)] && strange[x.GetKind()] > 0 {
				return &sdk.Error{Summary: "the name or namespace of a " + x.GetKind() + " depends on a sensitive value", Detail: "It is rendered from " + x.File + ".",
					Code: "kubernetes.sensitive_name", Path: sdk.At("path"), Hint: "Names are shown and stored. Use nonsensitive() if the value is not a secret."}
			}
		}
	}
	return nil
}

// loadTwins loads the folder for the twins.
func loadTwins(ctx context.Context, tree fs.FS, dir string, twins []*twin) {
	for _, t := range twins {
		if !t.failed {
			var err error
			t.objects, err = loadObjects(ctx, tree, dir, t.Options)
			t.failed = err != nil
		}
	}
}

// finishTwins does with the twins what was done with the objects.
func finishTwins(ctx context.Context, twins []*twin) {
	for _, t := range twins {
		if !t.failed {
			set, err := finish(ctx, t.objects, t.Options)
			if t.failed = err != nil; err == nil {
				t.objects = set.Objects
			}
		}
	}
}

// conceal takes what is sensitive out of an error of the renderer: the words that are others for the twins are masked.
func conceal(err error, twins []*twin, again func(*twin) error) error {
	for _, t := range twins {
		var other error
		if !t.failed {
			other = again(t)
		}
		err = concealOne(err, other)
	}
	return err
}

func concealOne(err, other error) error {
	real, others := findings(err), findings(other)
	if len(real) != len(others) || real[0].Code != others[0].Code {
		return &sdk.Error{Summary: "the folder cannot be rendered", Detail: "The reason depends on sensitive values, so it is not shown.", Code: real[0].Code, Path: real[0].Path}
	}
	out := make(sdk.Errors, len(real))
	for i, e := range real {
		shown := *e
		shown.Err = nil
		if shown.Detail == "" && e.Err != nil {
			shown.Detail = e.Err.Error()
		}
		twin := *others[i]
		if twin.Detail == "" && twin.Err != nil {
			twin.Detail = twin.Err.Error()
		}
		shown.Summary, shown.Detail, shown.Hint = mask.Message(shown.Summary, twin.Summary), mask.Message(shown.Detail, twin.Detail), mask.Message(shown.Hint, twin.Hint)
		out[i] = &shown
	}
	if len(out) == 1 {
		return out[0]
	}
	return out
}

// findings are the errors that an error is made of.
func findings(err error) []*sdk.Error {
	var many sdk.Errors
	var one *sdk.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return []*sdk.Error{one}
	}
	return []*sdk.Error{{Summary: err.Error()}}
}

// Hides tells whether a text is one of the object's sensitive values.
func (o Object) Hides(text string) bool {
	hides := false
	o.Sensitive.Values(o.Object, func(v any) { hides = hides || v == text })
	return hides
}
