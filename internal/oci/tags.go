package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
)

// Tags lists all tags of a repository, sorted. The list is complete or there is an error: a page that fails
// or is cut, a link that leads in a circle or elsewhere, an answer that is no tag list. A repository
// that does not exist is an error for which IsNotFound holds.
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

// lister asks for page after page. ggcr's own would follow a circle of links for ever and take
// a full page without a link for the last one, which some registries (ggcr's too) do not mean.
type lister struct {
	repo   name.Repository
	client *http.Client

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
	return &lister{repo: repo, client: &http.Client{Transport: rt, CheckRedirect: stayOnHost}}, nil
}

func stayOnHost(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if r.URL.Host != via[0].URL.Host {
		return fmt.Errorf("the registry redirects to another host (%s)", clean(r.URL.Host))
	}
	return nil
}

func (l *lister) all(ctx context.Context) ([]string, error) {
	known := map[string]bool{}
	asked := map[string]bool{}
	next := l.page("")
	for next != nil {
		if asked[next.String()] {
			return nil, broken("the pages of tags refer to each other in a circle")
		}
		if len(asked) == maxPages {
			return nil, broken(fmt.Sprintf("the list of tags has more than %d pages", maxPages))
		}
		asked[next.String()] = true
		tags, link, err := l.fetch(ctx, next, len(asked) == 1)
		if errors.Is(err, errUnchanged) {
			return l.tags, nil
		}
		if err != nil {
			return nil, err
		}
		before := len(known)
		for _, t := range tags {
			known[t] = true
		}
		switch {
		case link != nil:
			next = link
		case len(tags) >= pageSize && len(known) > before:
			// A full page without a link may be the last one or a registry that forgets the
			// link: only an answer to "what comes after it" tells.
			next = l.page(tags[len(tags)-1])
		default:
			next = nil
		}
	}
	tags := make([]string, 0, len(known))
	for t := range known {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	l.validator, l.tags = "", tags
	if len(asked) == 1 {
		l.validator = l.etag
	}
	return tags, nil
}

// page is the address of the first page after a tag.
func (l *lister) page(last string) *url.URL {
	q := url.Values{"n": {fmt.Sprint(pageSize)}}
	if last != "" {
		q.Set("last", last)
	}
	return &url.URL{
		Scheme: l.repo.Scheme(), Host: l.repo.RegistryStr(),
		Path: "/v2/" + l.repo.RepositoryStr() + "/tags/list", RawQuery: q.Encode(),
	}
}

// fetch reads one page. The first one is asked for under the condition that it has changed, if the registry gives validators.
func (l *lister) fetch(ctx context.Context, page *url.URL, first bool) (tags []string, next *url.URL, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	if first && l.validator != "" {
		request.Header.Set("If-None-Match", l.validator)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNotModified && request.Header.Get("If-None-Match") != "" {
		return nil, nil, errUnchanged
	}
	if err := transport.CheckError(response, http.StatusOK); err != nil {
		if asked := retryAfter(response, time.Now()); asked > 0 || response.StatusCode == http.StatusTooManyRequests {
			err = &Busy{After: asked, Err: err}
		}
		return nil, nil, err
	}
	l.etag = response.Header.Get("ETag")
	if tags, err = readPage(response.Body); err != nil {
		return nil, nil, cmp.Or(ctx.Err(), err) // what is missing when the run was stopped is not the registry's fault
	}
	next, err = l.link(response)
	return tags, next, err
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
	for _, t := range tags {
		if !reTag().MatchString(t) {
			return nil, broken("the list of tags contains " + quote(t) + ", which is not a tag")
		}
	}
	return tags, nil
}

// link is the next page's address, nil when this was the last. It must be a tag list of the same registry.
func (l *lister) link(response *http.Response) (*url.URL, error) {
	for _, header := range response.Header.Values("Link") {
		target, params, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(header), "<"), ">")
		if !ok {
			return nil, broken("the link to the next page is invalid: " + quote(header))
		}
		if rel := strings.ToLower(params); strings.Contains(rel, "rel=") && !strings.Contains(rel, "next") {
			continue
		}
		u, err := response.Request.URL.Parse(target)
		if err != nil {
			return nil, broken("the link to the next page is invalid: " + quote(header))
		}
		if u.Host != response.Request.URL.Host || u.Scheme != response.Request.URL.Scheme {
			return nil, broken("the link to the next page leads to another host: " + quote(u.Scheme+"://"+u.Host))
		}
		if !strings.HasSuffix(u.Path, "/tags/list") {
			return nil, broken("the link to the next page leads to " + quote(u.Path) + ", which is not a list of tags")
		}
		return u, nil
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
	var b *brokenList
	if !errors.As(err, &b) {
		return Diagnose(err, "listing the tags of", repo.Name())
	}
	return &sdk.Error{
		Summary: "listing the tags of " + repo.Name() + ": the list is incomplete or broken",
		Detail:  b.Error(),
		Hint:    "davit never decides by an incomplete list; run again, or read the registry's log",
		Code:    "registry.incomplete",
		Err:     err,
	}
}
