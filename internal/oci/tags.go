package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	pageSize = 1000 // some registries refuse more
	maxPages = 10_000
	maxPage  = 64 << 20 // bytes
	// longestTag is how much of a name that is not a tag is kept, in characters.
	longestTag = 256
)

// Tags lists all tags of a repository, sorted, as the registry writes them: tag.Valid tells which of them can be used. The list is complete or
// there is an error: a page that fails or is cut, links that lead in a circle, an answer that is not a list of tags. A repository that does
// not exist is an error for which IsNotFound holds; only the answer to the first page says so.
func Tags(ctx context.Context, repo name.Repository) ([]string, error) {
	l, err := newLister(ctx, repo)
	if err != nil {
		return nil, listError(err, repo)
	}
	tags, err := l.all(ctx)
	if err != nil {
		return nil, listError(err, repo)
	}
	return tags, nil
}

// lister asks for page after page. ggcr's own would follow a circle of links for ever, follow a link into another repository, and
// take a full page without a link for the last one, which some registries (ggcr's too) do not mean.
type lister struct {
	repo   name.Repository
	client *http.Client

	known map[string]bool // the tags so far
	asked map[string]bool // the addresses so far
	links bool            // a page of this list had a link: the registry says itself what comes next

	validator string // ETag of the first page of the last list, if that was all of it
	tags      []string
	etag      string // of the page that was read last
}

// errUnchanged says that the list is as it was when the validator was given.
var errUnchanged = errors.New("the list has not changed")

func newLister(ctx context.Context, repo name.Repository) (*lister, error) {
	auth, err := authn.Resolve(ctx, keychain(ctx), repo)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials: %w", err)
	}
	rt := transport.NewUserAgent(roundTripper(repo), userAgent)
	rt, err = transport.NewWithContext(ctx, repo.Registry, auth, rt, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	// Redirects are followed as for manifests: the transport sends credentials to the registry's own host only.
	return &lister{repo: repo, client: &http.Client{Transport: rt}}, nil
}

func (l *lister) all(ctx context.Context) ([]string, error) {
	l.known, l.asked, l.links = map[string]bool{}, map[string]bool{}, false
	first, err := l.first(ctx)
	if errors.Is(err, errUnchanged) {
		return l.tags, nil
	}
	if err != nil {
		return nil, err
	}
	for p := first; p != nil; {
		if p, err = l.after(ctx, p); err != nil {
			return nil, err
		}
	}
	l.validator, l.tags = "", slices.Sorted(maps.Keys(l.known))
	if len(l.asked) == 1 {
		l.validator = l.etag
	}
	return l.tags, nil
}

// first asks for the first page. A registry that refuses the size of the pages is asked for pages of its own size.
func (l *lister) first(ctx context.Context) (*tagPage, error) {
	p, err := l.fetch(ctx, l.address(url.Values{"n": {strconv.Itoa(pageSize)}}))
	if answered(err, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity) {
		if own, again := l.fetch(ctx, l.address(nil)); again == nil {
			return own, nil
		}
	}
	return p, err
}

// after takes the tags of a page in and asks for the page that comes next. It returns nil when that was all.
func (l *lister) after(ctx context.Context, p *tagPage) (*tagPage, error) {
	before := len(l.known)
	for _, t := range p.tags {
		l.known[t] = true
	}
	if len(l.asked) >= maxPages {
		return nil, broken(fmt.Sprintf("the list of tags has more than %d pages", maxPages))
	}
	if p.next != nil {
		l.links = true
		address := l.address(p.next)
		if l.asked[address] {
			return nil, broken("the pages of tags refer to each other in a circle")
		}
		next, err := l.fetch(ctx, address)
		if answered(err, http.StatusNotFound) { // of a repository that exists: it must not look as if it did not
			err = broken(fmt.Sprintf("page %d of the tags does not exist (404 from %s)", len(l.asked), quote(address)))
		}
		return next, err
	}
	if l.links || len(l.known) == before || !looksCut(len(p.tags)) {
		return nil, nil
	}
	// This may have been the last page, or the registry forgets the link: only an answer to "what comes after it" tells. A registry
	// that does not understand the question has given all that it has.
	query := url.Values{"n": {strconv.Itoa(pageSize)}, "last": {p.tags[len(p.tags)-1]}}
	next, err := l.fetch(ctx, l.address(query))
	if answered(err, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable, http.StatusUnprocessableEntity) {
		return nil, nil
	}
	return next, err
}

// looksCut tells whether a page of n tags may be a part of a list: registries cut at round numbers, or at the size that was asked for.
func looksCut(n int) bool { return n > 0 && (n%10 == 0 || n > pageSize) }

// address is where the tags are listed. A link's query is put on this path: what host and what repository it names does not matter.
func (l *lister) address(query url.Values) string {
	u := url.URL{Scheme: l.repo.Scheme(), Host: l.repo.RegistryStr(), Path: "/v2/" + l.repo.RepositoryStr() + "/tags/list", RawQuery: query.Encode()}
	return u.String()
}

// tagPage is one page of a list of tags.
type tagPage struct {
	tags []string
	next url.Values // the query of the link to the next page; nil: there is no link
}

// fetch reads one page. The first one is asked for under the condition that it has changed, if the registry gives validators.
func (l *lister) fetch(ctx context.Context, address string) (*tagPage, error) {
	l.asked[address] = true
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if len(l.asked) == 1 && l.validator != "" {
		request.Header.Set("If-None-Match", l.validator)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotModified && request.Header.Get("If-None-Match") != "" {
		return nil, errUnchanged
	}
	if err := transport.CheckError(response, http.StatusOK); err != nil {
		if asked := retryAfter(response, time.Now()); asked > 0 || response.StatusCode == http.StatusTooManyRequests {
			err = &Busy{After: asked, Err: err}
		}
		return nil, err
	}
	l.etag = response.Header.Get("ETag")
	tags, err := readPage(response.Body)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), fmt.Errorf("%s: %w", clean(address), err)) // what is missing when the run was stopped is not the registry's fault
	}
	next, err := nextPage(response.Header)
	return &tagPage{tags: tags, next: next}, err
}

// answered tells whether a registry refused a request with one of these statuses. A web server's page is not the answer of a registry.
func answered(err error, statuses ...int) bool {
	e, ok := errors.AsType[*transport.Error](err)
	return ok && slices.Contains(statuses, e.StatusCode) && (e.StatusCode != http.StatusNotFound || isRegistryAnswer(e))
}

func readPage(body io.Reader) ([]string, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxPage+1))
	if err != nil {
		return nil, &brokenList{"a page of tags was cut off", err}
	}
	if len(raw) > maxPage {
		return nil, broken("a page of tags is larger than 64 MiB")
	}
	var page struct {
		Name *string          `json:"name"`
		Tags *json.RawMessage `json:"tags"`
	}
	var tags []string
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, broken("a page of tags is not complete JSON: " + clean(err.Error()))
	}
	if page.Name == nil && page.Tags == nil {
		return nil, broken("the answer is not a list of tags")
	}
	if page.Tags != nil {
		if err := json.Unmarshal(*page.Tags, &tags); err != nil {
			return nil, broken("the answer is not a list of tags: " + clean(err.Error()))
		}
	}
	for i, t := range tags {
		if runes := []rune(t); len(runes) > longestTag {
			tags[i] = string(runes[:longestTag]) + "..."
		}
	}
	return tags, nil
}

// nextPage reads the query of the link to the next page (RFC 8288), nil when there is none. An empty link is how some registries end a list.
func nextPage(h http.Header) (url.Values, error) {
	for _, link := range links(h) {
		if !link.isNext() || link.target == "" {
			continue
		}
		u, err := url.Parse(link.target)
		if err != nil || u.RawQuery == "" {
			return nil, broken("the link to the next page is invalid: " + quote(link.target))
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return nil, broken("the link to the next page is invalid: " + quote(link.target))
		}
		return query, nil
	}
	if malformed := h.Get("Link"); malformed != "" && len(links(h)) == 0 {
		return nil, broken("the link to the next page is invalid: " + quote(malformed))
	}
	return nil, nil
}

// brokenList says why a list of tags cannot be trusted to be complete.
type brokenList struct {
	what string
	err  error
}

func broken(what string) error { return &brokenList{what: what} }

func (b *brokenList) Error() string { return joinCause(b.what, b.err) }
func (b *brokenList) Unwrap() error { return b.err }

func listError(err error, repo name.Repository) error {
	if _, ok := errors.AsType[*brokenList](err); !ok {
		return Diagnose(err, "listing the tags of", repo.Name())
	}
	return &sdk.Error{
		Summary: "listing the tags of " + repo.Name() + ": the list is incomplete or broken",
		Detail:  clean(err.Error()),
		Hint:    "davit never decides by an incomplete list; run again, or read the registry's log",
		Code:    "registry.incomplete",
		Err:     err,
	}
}
