package install

import (
	"path"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/davit-sh/davit/internal/oci"
)

// Scheme begins the source of a plugin that is fetched.
const Scheme = "oci://"

// Source is a fetched plugin's source. Without a tag and a digest, the version constraint chooses.
type Source struct {
	Repository  name.Repository
	Tag, Digest string
}

const example = `Use a path such as "./plugins/telegram", or "oci://registry.example.com/davit/telegram".`

// Fetched tells whether a source is one that plugins are fetched from, and not a path.
func Fetched(source string) bool {
	return strings.Contains(source, "://") || strings.Contains(source, "::")
}

// The grammars of host names and of the OCI distribution specification, which leave no way for "..": sources name folders
// of mirrors.
var (
	reHost = regexp.MustCompile(`^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]+([.-]+[A-Za-z0-9]+)*)(:[0-9]+)?$`)
	rePath = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// ParseSource reads "oci://REPOSITORY[:TAG][@DIGEST]". The repository has its registry's host.
func ParseSource(source string) (Source, error) {
	rest, ok := strings.CutPrefix(source, Scheme)
	if !ok {
		return Source{}, refuse(example, "a plugin cannot be fetched from %q", source)
	}
	var s Source
	where, digest, pinned := strings.Cut(rest, "@")
	if pinned {
		if !reDigest().MatchString(digest) {
			// Not echoed: it may be user:password@host.
			return s, refuse("A digest is sha256: and 64 hexadecimal digits. Put credentials into the docker configuration with docker login.",
				"the text after @ in a plugin's source is not a digest")
		}
		s.Digest = digest
	}
	if i := strings.LastIndex(where, ":"); i > strings.LastIndex(where, "/") {
		where, s.Tag = where[:i], where[i+1:]
		if err := oci.CheckTag(s.Tag); err != nil {
			return s, registryError(err)
		}
	}
	host, inside, _ := strings.Cut(where, "/")
	if !strings.ContainsAny(host, ".:") && host != "localhost" || !reHost.MatchString(host) || !rePath.MatchString(inside) {
		return s, refuse(example, "%q does not name a registry and a repository", source)
	}
	repo, err := oci.Repository(where, false)
	if err != nil {
		return s, registryError(err)
	}
	s.Repository = repo
	return s, nil
}

// fileName is how a plugin's executable is called here: after its repository, whatever the artifact says.
func fileName(repo name.Repository, platform string) string {
	base := path.Base(repo.RepositoryStr())
	if strings.HasPrefix(platform, "windows/") {
		base += ".exe"
	}
	return base
}
