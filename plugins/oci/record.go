package oci

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
)

const (
	// maxFiles is how many files a record names one by one; of more it keeps one hash for each folder.
	maxFiles = 2000
	maxNamed = 5 // files that a reason names
)

// record is what a build remembers of its inputs: enough to say what changed, and the base that was reviewed. It holds
// hashes only, no values. It is the Private of plans and results.
type record struct {
	Format   int               `json:"format"`
	Files    map[string]string `json:"files,omitempty"`
	Folders  map[string]string `json:"folders,omitempty"`
	Settings map[string]string `json:"settings"`
	Layers   string            `json:"layers"`
	Base     string            `json:"base,omitempty"` // digest
	Time     time.Time         `json:"time,omitzero"`  // of the source
	// Relabels is the digest of the older index that is pushed again under a new tag.
	Relabels string `json:"relabels,omitempty"`
	// Finished says that the key tag is in the registry too.
	Finished bool `json:"finished,omitempty"`
}

func newRecord(c Config, in *inputs) *record {
	r := &record{Format: format, Settings: map[string]string{}, Base: in.base, Time: sourceTime(c)}
	for name, value := range c.settings() {
		r.Settings[name] = short(fmt.Sprintf("%q", value))
	}
	var mapping strings.Builder
	for _, l := range in.layers {
		for _, f := range l.files {
			fmt.Fprintf(&mapping, "%q %q %o %q\n", f.Path, f.name, f.mode, l.platforms)
		}
		mapping.WriteString("\n")
	}
	r.Layers = short(mapping.String())
	files := map[string]string{}
	for _, f := range in.files {
		files[f.Path] = short(fmt.Sprintf("%s %o %s", f.Digest, f.Mode, f.Link))
	}
	if len(files) <= maxFiles {
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
		if len(parts) > maxFiles && depth > 1 {
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

func (r *record) encode() []byte {
	raw, err := json.Marshal(r)
	if err != nil { // a struct of strings and maps of strings: it cannot fail
		return nil
	}
	return raw
}

// decodeRecord reads a record, nil if there is none or another davit wrote it.
func decodeRecord(raw []byte) *record {
	var r record
	if len(raw) == 0 || json.Unmarshal(raw, &r) != nil || r.Format != format {
		return nil
	}
	return &r
}

// changes says what is different from the inputs before, for people.
func (r *record) changes(before *record, base string) []string {
	if before == nil {
		return nil
	}
	var reasons []string
	if (r.Files == nil) == (before.Files == nil) {
		if named := differences(before.Files, r.Files); len(named) > 0 {
			reasons = append(reasons, "files changed: "+some(named))
		}
		if named := differences(before.Folders, r.Folders); len(named) > 0 {
			reasons = append(reasons, "files changed in "+some(named))
		}
	} else {
		reasons = append(reasons, "files changed")
	}
	reasons = append(reasons, settingChanges(before.Settings, r.Settings)...)
	if before.Layers != r.Layers && len(reasons) == 0 {
		reasons = append(reasons, "files go to other places in the image")
	}
	if before.Base != r.Base {
		reasons = append(reasons, baseChange(base, before.Base, r.Base))
	}
	return reasons
}

func settingChanges(before, now map[string]string) []string {
	var reasons []string
	for _, d := range differences(before, now) {
		name, how, _ := strings.Cut(d, " ")
		switch how {
		case "(new)":
			reasons = append(reasons, name+" was set")
		case "(gone)":
			reasons = append(reasons, name+" is not set any more")
		default:
			reasons = append(reasons, name+" changed")
		}
	}
	return reasons
}

func baseChange(base, before, now string) string {
	switch {
	case before == "":
		return "it has the base image " + base + " now"
	case now == "":
		return "it has no base image any more"
	}
	return fmt.Sprintf("the base image %s moved from %s to %s", base, abbreviate(before), abbreviate(now))
}

// abbreviate shows the start of a digest.
func abbreviate(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex[:min(12, len(hex))]
}

// differences names the keys with other values, sorted; those that are new or gone say so.
func differences(before, now map[string]string) []string {
	all := map[string]bool{}
	for _, m := range []map[string]string{before, now} {
		for k := range m {
			all[k] = true
		}
	}
	var named []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		was, had := before[k]
		is, has := now[k]
		switch {
		case !had:
			named = append(named, k+" (new)")
		case !has:
			named = append(named, k+" (gone)")
		case was != is:
			named = append(named, k)
		}
	}
	return named
}

func some(named []string) string {
	if len(named) <= maxNamed {
		return strings.Join(named, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(named[:maxNamed], ", "), len(named)-maxNamed)
}

// sourceTime is when the source's revision was made. Zero when it does not say.
func sourceTime(c Config) time.Time {
	t, err := time.Parse(time.RFC3339, c.Source.Time)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
