// Package tag knows how a tag of an image is written.
package tag

import (
	"regexp"
	"sync"
)

// The grammar of the OCI distribution specification. A long repetition takes long to compile: not before it is asked for.
var grammar = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`) })

// Valid tells whether a registry takes a tag of this name. Some list names that are not valid.
func Valid(name string) bool { return grammar().MatchString(name) }
