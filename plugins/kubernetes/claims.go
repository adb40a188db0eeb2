package kubernetes

import (
	"slices"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// claimOf is the key of an object for claims of the protocol.
func claimOf(clusterID string, r cluster.Ref) sdk.Claim {
	return sdk.KubernetesClaim(clusterID, r.Group, r.Kind, r.Namespace, r.Name)
}

// claimsOf are the claims of an application on its objects. The namespace of create_namespace is nobody's: several applications
// may want it to be there.
func claimsOf(clusterID string, objects []render.Object) []sdk.Claim {
	var all []sdk.Claim
	for _, o := range objects {
		if !o.Added {
			all = append(all, claimOf(clusterID, cluster.RefOf(o.Unstructured)))
		}
	}
	slices.Sort(all)
	return all
}
