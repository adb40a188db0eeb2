package kubernetes

import (
	"slices"
	"sync"

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

// claims remember which application of this process renders which object, so that two
// applications do not fight over one, and an object that moves from one to another is not deleted on the way.
type claims struct {
	mu      sync.Mutex
	byOwner map[claimant]claim
}

// claimant is an application of a stack: one process may serve several stacks.
type claimant struct{ stack, address string }

type claim struct {
	server  string
	objects map[id]bool
}

// set replaces what the application claims. It returns the address of another one that renders one of the objects.
func (c *claims) set(who claimant, server string, objects []render.Object) (other string, shared *render.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := claim{server, map[id]bool{}}
	for i, o := range objects {
		if o.Added {
			continue
		}
		key := idOf(cluster.RefOf(o.Unstructured))
		mine.objects[key] = true
		for other, theirs := range c.byOwner {
			if other.stack == who.stack && other.address != who.address && theirs.server == server && theirs.objects[key] {
				return other.address, &objects[i] //nolint:gosec // i is of this very slice
			}
		}
	}
	c.byOwner[who] = mine
	return "", nil
}

func (c *claims) drop(who claimant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byOwner, who)
}

// by returns the address of another application that claims the object.
func (c *claims) by(who claimant, server string, r cluster.Ref) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, theirs := range c.byOwner {
		if other.stack == who.stack && other.address != who.address && theirs.server == server && theirs.objects[idOf(r)] {
			return other.address
		}
	}
	return ""
}
