package sdk

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Cause is the machine-readable reason of a change or an item: gates decide by it.
type Cause string

// The causes that a plugin knows. The list is closed: a plan with another word is refused. davit adds causes of its own.
const (
	CauseNew      Cause = "new"      // the real thing does not exist
	CauseSource   Cause = "source"   // files of the source changed
	CauseImage    Cause = "image"    // an image that it runs changed
	CauseConfig   Cause = "config"   // arguments of the block changed
	CauseBuild    Cause = "build"    // inputs of a build other than its source changed, such as a base image
	CauseDrift    Cause = "drift"    // somebody else changed or deleted the real thing
	CauseRemoved  Cause = "removed"  // it is deleted because it is not wanted any more
	CauseMoved    Cause = "moved"    // a thing changes its owner
	CauseReplaced Cause = "replaced" // it is made again
	CauseRollback Cause = "rollback" // a person asks for an earlier revision
	CauseRetry    Cause = "retry"    // an earlier operation did not end
	CauseState    Cause = "state"    // only what state keeps changes
)

var causes = []Cause{
	CauseNew, CauseSource, CauseImage, CauseConfig, CauseBuild, CauseDrift,
	CauseRemoved, CauseMoved, CauseReplaced, CauseRollback, CauseRetry, CauseState,
}

// Causes returns all causes in the order of this list.
func Causes() []Cause { return slices.Clone(causes) }

// Claim is the key of a real object that one instance owns. A key has the same meaning in all plugins; davit only compares
// keys for equality.
type Claim string

// FileClaim is the claim of a file, or of a directory without its contents. The path must be absolute.
func FileClaim(path string) Claim { return Claim("file:" + filepath.Clean(path)) }

// ImageClaim is the claim of a tag in a registry. The repository has its host: "registry.example.com/team/app".
func ImageClaim(repository, tag string) Claim { return Claim("image:" + repository + ":" + tag) }

// KubernetesClaim is the claim of an object. cluster is the UID of the namespace kube-system. The group of core objects
// and the namespace of cluster-wide objects are empty.
func KubernetesClaim(cluster, group, kind, namespace, name string) Claim {
	return Claim(fmt.Sprintf("kubernetes:%s/%s/%s/%s/%s", cluster, group, kind, namespace, name))
}

// GitClaim is the claim of a branch of a repository.
func GitClaim(url, branch string) Claim { return Claim("git:" + url + "#" + branch) }
