package plan

import "slices"

// Cause is why a change or an item is planned, for machines: gates decide by it. The words are those of the protocol.
type Cause string

// The causes. The list is closed.
const (
	CauseNew      Cause = "new"      // the real thing does not exist
	CauseSource   Cause = "source"   // files of the source changed
	CauseImage    Cause = "image"    // an image that it runs changed
	CauseConfig   Cause = "config"   // arguments of the block changed
	CauseBuild    Cause = "build"    // inputs of a build other than its source changed, such as a base image
	CauseDrift    Cause = "drift"    // somebody else changed or deleted the real thing
	CauseRemoved  Cause = "removed"  // it is deleted because it is not wanted any more
	CauseMoved    Cause = "moved"    // a thing or a record changes its owner or its address
	CauseReplaced Cause = "replaced" // it is made again because a person, the configuration or the plugin asks for it
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

// Valid tells whether the cause is one of the list.
func (c Cause) Valid() bool { return slices.Contains(causes, c) }
