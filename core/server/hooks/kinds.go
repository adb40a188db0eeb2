package hooks

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/reconcile/hint"
)

// kind is how hosts of a type call: how they show that they know the secret, and what they send. A kind either signs the body, or shows the
// secret.
type kind struct {
	signature  func(http.Header) string                                           // hexadecimal HMAC-SHA256 of the body; nil: it does not sign
	authorised func(r *http.Request, rest string, secret []byte) bool             // rest is the path after the hook's id
	read       func(header http.Header, body []byte) (found hint.Hint, err error) // no repositories: nothing to look at
}

func (k kind) signs() bool { return k.signature != nil }

var kinds = map[string]kind{
	"github":           {signature: signatureIn("X-Hub-Signature-256"), read: readGitHub},
	"gitea":            {signature: signatureIn("X-Gitea-Signature", "X-Forgejo-Signature", "X-Hub-Signature-256"), read: readGitHub},
	"forgejo":          {signature: signatureIn("X-Forgejo-Signature", "X-Gitea-Signature", "X-Hub-Signature-256"), read: readGitHub},
	"gitlab":           {authorised: tokenIn("X-Gitlab-Token"), read: readGitLab},
	"bitbucket":        {signature: signatureIn("X-Hub-Signature"), read: readBitbucket},
	"bitbucket-server": {signature: signatureIn("X-Hub-Signature"), read: readBitbucket},
	"distribution":     {authorised: tokenIn("Authorization"), read: readDistribution},
	"harbor":           {authorised: tokenIn("Authorization"), read: readHarbor},
	"dockerhub":        {authorised: inPath, read: readDockerHub},
	"generic":          {authorised: tokenIn("Authorization"), read: readGeneric},
}

// Types returns the types of hooks, sorted.
func Types() []string {
	list := make([]string, 0, len(kinds))
	for t := range kinds {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}

// signatureIn reads the first of some headers that is there: digits, or "sha256=" and digits.
func signatureIn(names ...string) func(http.Header) string {
	return func(h http.Header) string {
		for _, n := range names {
			if v := h.Get(n); v != "" {
				return strings.TrimPrefix(v, "sha256=")
			}
		}
		return ""
	}
}

// tokenIn checks the secret in a header, with or without "Bearer".
func tokenIn(name string) func(*http.Request, string, []byte) bool {
	return func(r *http.Request, _ string, secret []byte) bool {
		return isSecret(strings.TrimPrefix(r.Header.Get(name), "Bearer "), secret)
	}
}

// inPath checks the secret in the path: /hooks/ID/SECRET, for hosts that cannot do better.
func inPath(_ *http.Request, rest string, secret []byte) bool { return isSecret(rest, secret) }

// refOf is a branch or a tag without its place.
func refOf(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
}

// present are the texts that are not empty, each once.
func present(texts ...string) []string {
	var list []string
	for _, t := range texts {
		if t != "" && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// readGitHub reads the payloads of GitHub, Gitea and Forgejo. All that is about a repository is a reason to look at it, but for what people
// say to each other. A package in GitHub's registry is an image.
func readGitHub(header http.Header, body []byte) (found hint.Hint, err error) {
	type packageEvent struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Type      string `json:"package_type"`
		Ecosystem string `json:"ecosystem"`
		Owner     struct {
			Login string `json:"login"`
		} `json:"owner"`
		Version struct {
			Metadata struct {
				Tag struct {
					Name string `json:"name"`
				} `json:"tag"`
			} `json:"container_metadata"`
		} `json:"package_version"`
	}
	var p struct {
		Ref        string `json:"ref"`
		Repository struct {
			CloneURL string `json:"clone_url"`
			SSHURL   string `json:"ssh_url"`
			HTMLURL  string `json:"html_url"`
		} `json:"repository"`
		Package  *packageEvent `json:"package"`
		Registry *packageEvent `json:"registry_package"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	event := first(header, "X-GitHub-Event", "X-Gitea-Event", "X-Forgejo-Event")
	pack := p.Registry
	if pack == nil {
		pack = p.Package
	}
	switch {
	case event == "package" || event == "registry_package":
		if pack == nil || !strings.EqualFold(pack.Type, "container") && !strings.EqualFold(pack.Ecosystem, "container") {
			return found, nil
		}
		found.Kind, found.Ref = hint.Image, pack.Version.Metadata.Tag.Name
		found.Repositories = imagesOf(pack.Namespace, pack.Owner.Login, pack.Name, p.Repository.HTMLURL)
	case event == "ping", strings.Contains(event, "comment"), strings.Contains(event, "review"), event == "star", event == "watch":
	default:
		found.Kind, found.Ref = hint.Git, refOf(p.Ref)
		found.Repositories = present(p.Repository.CloneURL, p.Repository.SSHURL, p.Repository.HTMLURL)
	}
	return found, nil
}

// imagesOf are the names that a container package may have: in GitHub's registry, or on the Gitea that the repository is on.
func imagesOf(namespace, owner, name, repository string) []string {
	if namespace == "" {
		namespace = owner
	}
	if name == "" || namespace == "" {
		return nil
	}
	host := "ghcr.io"
	if n, ok := hint.Parse(repository); ok && n.Host != "github.com" {
		host = n.Host
	}
	return []string{host + "/" + namespace + "/" + name}
}

func first(h http.Header, names ...string) string {
	for _, n := range names {
		if v := h.Get(n); v != "" {
			return v
		}
	}
	return ""
}

// readGitLab reads the payloads of GitLab: pushes, tags, merge requests, releases.
func readGitLab(_ http.Header, body []byte) (found hint.Hint, err error) {
	var p struct {
		Kind    string `json:"object_kind"`
		Ref     string `json:"ref"`
		Project struct {
			HTTP string `json:"git_http_url"`
			SSH  string `json:"git_ssh_url"`
			Web  string `json:"web_url"`
		} `json:"project"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	if p.Kind == "note" {
		return found, nil
	}
	return hint.Hint{Kind: hint.Git, Ref: refOf(p.Ref), Repositories: present(p.Project.HTTP, p.Project.SSH, p.Project.Web)}, nil
}

// readBitbucket reads the payloads of Bitbucket Cloud and Bitbucket Server.
func readBitbucket(_ http.Header, body []byte) (found hint.Hint, err error) {
	type link struct {
		Href string `json:"href"`
	}
	var p struct {
		Repository struct {
			FullName string `json:"full_name"`
			Slug     string `json:"slug"`
			Project  struct {
				Key string `json:"key"`
			} `json:"project"`
			Links struct {
				HTML  link   `json:"html"`
				Clone []link `json:"clone"`
			} `json:"links"`
		} `json:"repository"`
		Push struct {
			Changes []struct {
				New *struct {
					Name string `json:"name"`
				} `json:"new"`
			} `json:"changes"`
		} `json:"push"`
		Changes []struct {
			Ref struct {
				Name string `json:"displayId"`
			} `json:"ref"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	repo := p.Repository
	found.Kind = hint.Git
	found.Repositories = present(repo.Links.HTML.Href)
	for _, l := range repo.Links.Clone {
		found.Repositories = present(append(found.Repositories, l.Href)...)
	}
	switch {
	case len(found.Repositories) > 0:
	case repo.FullName != "":
		found.Repositories = []string{"https://bitbucket.org/" + repo.FullName}
	case repo.Slug != "" && repo.Project.Key != "":
		// The server does not say what it is called: the path has to do.
		found.Repositories = []string{"https://unknown.invalid/" + repo.Project.Key + "/" + repo.Slug}
	}
	for _, c := range p.Push.Changes {
		if c.New != nil {
			found.Ref = c.New.Name
		}
	}
	for _, c := range p.Changes {
		found.Ref = c.Ref.Name
	}
	return found, nil
}

// mostEvents is how many events of one call are looked at.
const mostEvents = 100

// readDistribution reads the notifications of the distribution registry. One call may have several events.
func readDistribution(_ http.Header, body []byte) (found hint.Hint, err error) {
	var p struct {
		Events []struct {
			Action string `json:"action"`
			Target struct {
				Repository string `json:"repository"`
				Tag        string `json:"tag"`
			} `json:"target"`
			Request struct {
				Host string `json:"host"`
			} `json:"request"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	found.Kind = hint.Image
	for _, e := range p.Events[:min(len(p.Events), mostEvents)] {
		if e.Action != "push" && e.Action != "delete" || e.Target.Repository == "" {
			continue
		}
		host := e.Request.Host
		if host == "" {
			host = "unknown.invalid"
		}
		found.Ref = e.Target.Tag
		found.Repositories = present(append(found.Repositories, host+"/"+e.Target.Repository)...)
	}
	return found, nil
}

// readHarbor reads the payloads of Harbor, in its own format and as CloudEvents.
func readHarbor(_ http.Header, body []byte) (found hint.Hint, err error) {
	type data struct {
		Resources []struct {
			Tag string `json:"tag"`
			URL string `json:"resource_url"`
		} `json:"resources"`
		Repository struct {
			FullName string `json:"repo_full_name"`
		} `json:"repository"`
	}
	var p struct {
		Event data `json:"event_data"`
		Data  data `json:"data"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	d := p.Event
	if len(d.Resources) == 0 && d.Repository.FullName == "" {
		d = p.Data
	}
	found.Kind = hint.Image
	for _, r := range d.Resources[:min(len(d.Resources), mostEvents)] {
		found.Repositories, found.Ref = present(append(found.Repositories, r.URL)...), r.Tag
	}
	if len(found.Repositories) == 0 && d.Repository.FullName != "" {
		found.Repositories = []string{"unknown.invalid/" + d.Repository.FullName}
	}
	return found, nil
}

// readDockerHub reads the payloads of Docker Hub.
func readDockerHub(_ http.Header, body []byte) (found hint.Hint, err error) {
	var p struct {
		Push struct {
			Tag string `json:"tag"`
		} `json:"push_data"`
		Repository struct {
			Name string `json:"repo_name"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Repository.Name == "" {
		return found, err
	}
	return hint.Hint{Kind: hint.Image, Ref: p.Push.Tag, Repositories: []string{"docker.io/" + p.Repository.Name}}, nil
}

// readGeneric reads what a script sends: {"repository": "...", "ref": "..."}.
func readGeneric(_ http.Header, body []byte) (found hint.Hint, err error) {
	var p struct {
		Repository string `json:"repository"`
		Ref        string `json:"ref"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return found, err
	}
	return hint.Hint{Kind: hint.Git, Ref: refOf(p.Ref), Repositories: present(p.Repository)}, nil
}
