// Package kubernetes is the plugin that runs applications on Kubernetes.
//
// application "kubernetes" renders a folder of a source (package render), compares it with
// the cluster by server-side dry run (package diff), applies it server-side, prunes what is
// not in the folder any more and waits until all is healthy (package rollout).
// application "manifests" renders the same way into a directory (package manifests).
package kubernetes

import (
	"github.com/davit-sh/davit/plugins/kubernetes/manifests"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Config is the configuration of application "kubernetes".
type Config struct {
	render.Config
	Kubeconfig     string       `davit:"kubeconfig,optional" doc:"Kubeconfig file. Default: KUBECONFIG, ~/.kube/config, or the service account of the pod that davit runs in."`
	Context        string       `davit:"context,optional" doc:"Context of the kubeconfig. Default: its current one."`
	Wait           bool         `davit:"wait,optional" default:"true" doc:"Wait until all objects are healthy."`
	Timeout        sdk.Duration `davit:"timeout,optional" default:"5m" doc:"How long to wait for health and for deletions."`
	Prune          bool         `davit:"prune,optional" default:"true" doc:"Delete objects that are no longer in the folder. The annotation davit.sh/prune: disabled keeps an object."`
	ForceConflicts bool         `davit:"force_conflicts,optional" default:"true" doc:"Take over fields that others have changed."`
	TakeOverFrom   []string     `davit:"take_over_from,optional" doc:"Other stacks whose objects this application may take over, by name or by the lineage of their state. Default: an object of another stack is an error."`
	Force          bool         `davit:"force,optional" default:"false" doc:"Delete and recreate objects whose changed fields cannot be changed in place. For one object, use the annotation davit.sh/force: enabled."`
}

// Outputs are the outputs of application "kubernetes".
type Outputs struct {
	sdk.ApplicationOutputs
	Namespace string   `davit:"namespace" doc:"The configured namespace."`
	Objects   []Object `davit:"objects" doc:"The objects of the folder."`
}

// Object is one object in the outputs.
type Object struct {
	APIVersion string `davit:"api_version"`
	Kind       string `davit:"kind"`
	Namespace  string `davit:"namespace"`
	Name       string `davit:"name"`
}

// Plugin makes the plugin.
func Plugin(version string) *sdk.Plugin {
	return sdk.New("kubernetes", version,
		sdk.Application("kubernetes", New(),
			sdk.Description("Objects of a folder on a Kubernetes cluster: applied server-side, pruned, and waited for.")),
		sdk.Application("manifests", manifests.Application{},
			sdk.Description("Objects of a folder, written as files into a directory.")),
	)
}
