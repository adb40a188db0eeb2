package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

const (
	// MaxFiles is how many files a record names one by one; of more it keeps one hash for each folder.
	MaxFiles = 2000
	maxNamed = 5 // files that a reason names
)

// Record is what a build remembers of its inputs: enough to say what changed, and the bases that were reviewed. It holds
// hashes only, no values. It is the Private of plans and results.
type Record struct {
	Format   int               `json:"format"`
	Files    map[string]string `json:"files,omitempty"`
	Folders  map[string]string `json:"folders,omitempty"`
	Settings map[string]string `json:"settings"`
	Layout   string            `json:"layers,omitempty"` // where files go
	Bases    map[string]string `json:"bases,omitempty"`  // digests of the base images, by reference
	Time     time.Time         `json:"time,omitzero"`    // of the source
	// Relabels is the digest of the older index that is pushed again under a new tag.
	Relabels string `json:"relabels,omitempty"`
	// Shared says that the result was found by its key under another tag than the configured one: another build may own it.
	Shared bool `json:"shared,omitempty"`
	// Finished says that the key tag is in the registry too.
	Finished bool `json:"finished,omitempty"`
}

// Inputs are what a build is made of, as far as a record tells them apart.
type Inputs struct {
	Format   int // of the key: another one means that the same inputs give other images
	Files    []tree.Entry
	Settings map[string]any    // by name; what is not set is left out
	Layout   string            // where files go, in any form
	Bases    map[string]string // digests by reference
}

func newRecord(in Inputs, source sdk.SourceRef) *Record {
	r := &Record{Format: in.Format, Settings: map[string]string{}, Bases: in.Bases, Time: sourceTime(source)}
	for name, value := range in.Settings {
		r.Settings[name] = short(fmt.Sprintf("%q", value))
	}
	if in.Layout != "" {
		r.Layout = short(in.Layout)
	}
	files := map[string]string{}
	for _, f := range in.Files {
		files[f.Path] = short(fmt.Sprintf("%s %o %s", f.Digest, f.Mode, f.Link))
	}
	if len(files) <= MaxFiles {
		r.Files = files
	} else {
		r.Folders = byFolder(files)
	}
	return r
}

// byFolder hashes the files of each folder together. Folders of the deepest levels are put together until few enough are left.
func byFolder(files map[string]string) map[string]string {
	for depth := 8; ; depth-- {
		parts := map[string]*strings.Builder{}
		for _, p := range slices.Sorted(maps.Keys(files)) {
			dir := strings.Join(firstN(strings.Split(path.Dir(p), "/"), depth), "/") + "/"
			if parts[dir] == nil {
				parts[dir] = &strings.Builder{}
			}
			fmt.Fprintf(parts[dir], "%q %s\n", p, files[p])
		}
		if len(parts) > MaxFiles && depth > 1 {
			continue
		}
		folders := map[string]string{}
		for dir, text := range parts {
			folders[dir] = short(text.String())
		}
		return folders
	}
}

func firstN(s []string, n int) []string { return s[:min(n, len(s))] }

// short is a hash that tells two texts apart well enough to say what changed.
func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func (r *Record) encode() []byte {
	raw, err := json.Marshal(r)
	if err != nil { // a struct of strings and maps of strings: it cannot fail
		return nil
	}
	return raw
}

// Decode reads a record, nil if there is none or another davit wrote it.
func Decode(raw []byte, format int) *Record {
	var r Record
	if len(raw) == 0 || json.Unmarshal(raw, &r) != nil || r.Format != format {
		return nil
	}
	return &r
}

// explanation is why something is done, for people and for machines.
type explanation struct {
	reasons []string
	causes  []sdk.Cause
}

func because(c sdk.Cause, reason string) explanation {
	return explanation{reasons: []string{reason}, causes: []sdk.Cause{c}}
}

func (e *explanation) add(c sdk.Cause, reason string) {
	e.reasons = append(e.reasons, reason)
	if !slices.Contains(e.causes, c) {
		e.causes = append(e.causes, c)
	}
}

// changes adds to e what is different from the inputs before.
func (r *Record) changes(before *Record, e *explanation) {
	if before == nil {
		return
	}
	others := len(e.reasons)
	if (r.Files == nil) == (before.Files == nil) {
		if changed := differences(before.Files, r.Files); len(changed) > 0 {
			e.add(sdk.CauseSource, "files changed: "+some(changed))
		}
		if changed := differences(before.Folders, r.Folders); len(changed) > 0 {
			e.add(sdk.CauseSource, "files changed in "+some(changed))
		}
	} else {
		e.add(sdk.CauseSource, "files changed")
	}
	for _, d := range differences(before.Settings, r.Settings) {
		e.add(sdk.CauseConfig, d.say("%s was set", "%s was removed", "%s changed"))
	}
	if before.Layout != r.Layout && len(e.reasons) == others {
		e.add(sdk.CauseConfig, "the files' places in the image changed")
	}
	for _, d := range differences(before.Bases, r.Bases) {
		moved := fmt.Sprintf("the base image %%s changed from %s to %s", abbreviate(before.Bases[d.key]), abbreviate(r.Bases[d.key]))
		cause := sdk.CauseBuild
		if !d.had || !d.has {
			cause = sdk.CauseConfig
		}
		e.add(cause, d.say("the base image %s was added", "the base image %s was removed", moved))
	}
}

// abbreviate shows the start of a digest.
func abbreviate(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex[:min(12, len(hex))]
}

// difference is a key with another value than before.
type difference struct {
	key      string
	had, has bool
}

// say says it in one of three ways, with the key for %s.
func (d difference) say(isNew, isGone, changed string) string {
	format := changed
	switch {
	case !d.had:
		format = isNew
	case !d.has:
		format = isGone
	}
	return fmt.Sprintf(format, d.key)
}

// differences are the keys with other values, sorted.
func differences(before, now map[string]string) []difference {
	all := maps.Clone(before)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, now)
	var found []difference
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, had := before[key]
		is, has := now[key]
		if had != has || was != is {
			found = append(found, difference{key, had, has})
		}
	}
	return found
}

// some names the first few.
func some(changed []difference) string {
	var names []string
	for _, d := range changed[:min(maxNamed, len(changed))] {
		names = append(names, d.say("%s (new)", "%s (removed)", "%s"))
	}
	text := strings.Join(names, ", ")
	if more := len(changed) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// sourceTime is when the source's revision was made. Zero when it does not say.
func sourceTime(source sdk.SourceRef) time.Time {
	t, err := time.Parse(time.RFC3339, source.Time)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
