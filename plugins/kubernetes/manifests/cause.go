package manifests

import (
	"reflect"
	"slices"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// why decides the causes of changes by what state has of the application.
type why struct {
	prior *sdk.Record[Config, Outputs]
	known inventory // the files in state, wherever they are
	// manifests are the causes of manifests that render to something else for another reason than their images.
	manifests []sdk.Cause
}

func newWhy(c Config, prior *sdk.Record[Config, Outputs], known inventory) why {
	w := why{prior: prior, known: known}
	if prior == nil {
		return w
	}
	if prior.Config.Source.Tree.Digest != c.Source.Tree.Digest {
		w.manifests = append(w.manifests, sdk.CauseSource)
	}
	if !reflect.DeepEqual(settings(prior.Config), settings(c)) {
		w.manifests = append(w.manifests, sdk.CauseConfig)
	}
	if len(w.manifests) == 0 { // the same files and arguments render to something else
		w.manifests = []sdk.Cause{sdk.CauseSource}
	}
	return w
}

// settings are the arguments that change what the manifests render to, besides the source and the images.
func settings(c Config) render.Config {
	r := c.Config
	r.Source, r.Images = sdk.SourceRef{}, nil
	return r
}

// rendered returns why an object is rendered to something else than what was written last, nil if it is the same.
func (w why) rendered(f file) []sdk.Cause {
	now := f.entry()
	was := w.known.find(f.name)
	switch {
	case w.prior == nil:
		return []sdk.Cause{sdk.CauseNew}
	case was == nil:
		return w.manifests
	case was.Hash == now.Hash:
		return nil
	case was.Bare == now.Bare && was.Images != now.Images:
		return []sdk.Cause{sdk.CauseImage}
	case was.Images != now.Images:
		return append([]sdk.Cause{sdk.CauseImage}, w.manifests...)
	}
	return w.manifests
}

// images are the images of an object in the order of its containers.
func images(object map[string]any) string {
	var list []string
	for _, c := range render.Containers(object) {
		list = append(list, c.Name+"="+c.Image)
	}
	return strings.Join(list, " ")
}

// collect adds the causes that are not in the list yet.
func collect(list, more []sdk.Cause) []sdk.Cause {
	for _, c := range more {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}
