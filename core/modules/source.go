// Package modules finds the files of modules: by a path, in a Git repository, or as an artifact in a registry.
//
// What is not on this machine is fetched once, by `davit init`, into the content-addressed cache, and
// written down in the lock file by its digest. After that nothing is fetched any more.
package modules

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/davit-sh/davit/sdk/redact"
)

// Package is what is fetched in one piece: a repository at a commit, or an artifact.
type Package struct {
	// Source is the module's source as it was written, without the folder in it. It is what the
	// lock file calls the package: "git::https://git.example.com/acme/modules.git?ref=v1.2.0".
	Source string
	// Type is the type of source that fetches it: "git" or "oci".
	Type string
	// Where is a Git URL, or an OCI repository.
	Where string
	// Ref is a Git tag, branch or commit; Tag and Digest are of an artifact. At most one is set.
	Ref, Tag, Digest string
}

const (
	gitPrefix = "git::"
	ociPrefix = "oci://"
)

// IsLocal tells whether a source is a path.
func IsLocal(source string) bool {
	return source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../")
}

// Parse reads the source of a module that is not a path, and the folder in it ("" for all of it):
// "git::URL[//FOLDER][?ref=REF]" or "oci://REPOSITORY[:TAG|@DIGEST][//FOLDER]".
func Parse(source string) (Package, string, error) {
	switch {
	case strings.HasPrefix(source, gitPrefix):
		return parseGit(source)
	case strings.HasPrefix(source, ociPrefix):
		return parseOCI(source)
	}
	return Package{}, "", errors.New(`a module's source is a path that begins with ./ or ../, or "git::https://git.example.com/acme/modules.git//folder?ref=v1.0.0", or "oci://registry.example.com/acme/module:1.0.0"` + redact.Text(near(source)))
}

// near guesses what was meant.
func near(source string) string {
	switch {
	case strings.HasSuffix(source, ".git") || strings.Contains(source, ".git//") || strings.HasPrefix(source, "git@") || strings.HasPrefix(source, "github.com/"):
		return fmt.Sprintf("; did you mean %q?", gitPrefix+strings.Replace(source, "github.com/", "https://github.com/", 1))
	case !strings.Contains(source, ":") && !strings.HasPrefix(source, "/"):
		return fmt.Sprintf("; did you mean %q?", "./"+source)
	}
	return ""
}

func parseGit(source string) (Package, string, error) {
	rest := strings.TrimPrefix(source, gitPrefix)
	rest, query, _ := strings.Cut(rest, "?")
	scheme := ""
	if s, r, ok := strings.Cut(rest, "://"); ok {
		scheme, rest = s+"://", r
	}
	where, folder, _ := strings.Cut(rest, "//")
	values, err := url.ParseQuery(query)
	if err != nil {
		return Package{}, "", fmt.Errorf("the text after ? is not a query: %w", err)
	}
	for k := range values {
		if k != "ref" {
			return Package{}, "", fmt.Errorf("the query parameter %q is not known; use ref", k)
		}
	}
	p := Package{Type: "git", Where: scheme + where, Ref: values.Get("ref")}
	if where == "" {
		return Package{}, "", errors.New("it does not name a repository")
	}
	if what := redact.SecretIn(p.Where); what != "" {
		return Package{}, "", fmt.Errorf("the URL contains %s; use the environment variable DAVIT_GIT_TOKEN", what)
	}
	p.Source = gitPrefix + p.Where
	if query != "" {
		p.Source += "?" + query
	}
	return p, clean(folder), checkFolder(folder)
}

func parseOCI(source string) (Package, string, error) {
	rest, folder, _ := strings.Cut(strings.TrimPrefix(source, ociPrefix), "//")
	p := Package{Type: "oci", Source: ociPrefix + rest, Where: rest}
	if where, digest, ok := strings.Cut(rest, "@"); ok {
		p.Where, p.Digest = where, digest
	}
	if i := strings.LastIndex(p.Where, ":"); i > strings.LastIndex(p.Where, "/") {
		if p.Digest == "" {
			p.Tag = p.Where[i+1:]
		}
		p.Where = p.Where[:i]
	}
	if !strings.Contains(p.Where, "/") {
		return Package{}, "", errors.New("it does not name a repository: oci://registry.example.com/acme/module:1.0.0")
	}
	return p, clean(folder), checkFolder(folder)
}

func clean(folder string) string { return strings.Trim(folder, "/") }

func checkFolder(folder string) error {
	if slices.Contains(strings.Split(folder, "/"), "..") {
		return fmt.Errorf("the folder %q leads out of the fetched files", folder)
	}
	return nil
}

// Range is a version constraint in the form that sources of type "git" and "oci" read. It means what
// Terraform's constraints mean: "~> 1.2" is 1.2 up to, but without, 2.0.
func Range(constraint string) (string, error) {
	if _, err := version.NewConstraint(constraint); err != nil {
		return "", fmt.Errorf("version %q is not a version constraint: %w", constraint, err)
	}
	parts := strings.Split(constraint, ",")
	for i, p := range parts {
		low, ok := strings.CutPrefix(strings.TrimSpace(p), "~>")
		if !ok {
			continue
		}
		v, err := version.NewVersion(strings.TrimSpace(low))
		if err != nil {
			return "", err
		}
		// All segments but the last that was written stay.
		written := strings.Count(v.Original(), ".") + 1
		if pre := v.Prerelease(); pre != "" {
			written -= strings.Count(pre, ".")
		}
		if written < 2 {
			parts[i] = ">=" + strings.TrimSpace(low)
			continue
		}
		next := slices.Clone(v.Segments()[:written-1])
		next[len(next)-1]++
		parts[i] = ">=" + strings.TrimSpace(low) + ", <" + strings.Trim(strings.ReplaceAll(fmt.Sprint(next), " ", "."), "[]")
	}
	return strings.Join(parts, ","), nil
}
