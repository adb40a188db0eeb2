package choose

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

const (
	// mostLooks bounds the tags that one decision looks at, and looksAtOnce how many of them at a time.
	mostLooks   = 1000
	looksAtOnce = 8
)

// Looks is what a plan has found out about tags of images. A tag is looked at once in a plan, whichever policies ask.
type Looks struct {
	mu   sync.Mutex
	seen map[string]func() (*pluginv1.ResolveResponse, error)
}

// Forget makes the next look at each tag a new one.
func (l *Looks) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = nil
}

// once returns what look finds, which runs for the first caller only.
func (l *Looks) once(key string, look func() (*pluginv1.ResolveResponse, error)) (*pluginv1.ResolveResponse, error) {
	l.mu.Lock()
	if l.seen == nil {
		l.seen = map[string]func() (*pluginv1.ResolveResponse, error){}
	}
	f, ok := l.seen[key]
	if !ok {
		f = sync.OnceValues(look)
		l.seen[key] = f
	}
	l.mu.Unlock()
	return f()
}

// lookAtTag asks the plugin of an image about one of its tags. The errors are about the policy.
func (c *Chooser) lookAtTag(ctx context.Context, p *Policy, image *Image, tag string, look pluginv1.ResolveRequest_Look) (*pluginv1.ResolveResponse, hcl.Diagnostics) {
	t := image.Node.Type
	doing := "resolving " + tag
	plain, _ := t.PluginConfig(image.Config).UnmarkDeep()
	config, err := eval.EncodeValue(plain)
	if err != nil {
		return nil, hcl.Diagnostics{c.Services.Failure(p.Instance, doing, err)}
	}
	key := strings.Join([]string{t.Plugin, t.Name, string(config.GetMsgpack()), string(config.GetJson()), tag, fmt.Sprint(int32(look))}, "\x00")
	res, err := c.Looks.once(key, func() (*pluginv1.ResolveResponse, error) {
		client, err := c.Services.Plugins.Client(ctx, t.Plugin)
		if err != nil {
			return nil, err
		}
		return client.Resolve(ctx, &pluginv1.ResolveRequest{Address: image.Addr.String(), Type: t.Name, Config: config, Tag: tag, Look: look})
	})
	if err != nil {
		return nil, hcl.Diagnostics{c.Services.Failure(p.Instance, doing, err)}
	}
	return res, c.Services.Diagnostics(image.Instance, res.GetDiagnostics())
}

// factsOf looks at tags, several at a time, and adds what it finds to facts.
func (c *Chooser) factsOf(ctx context.Context, p *Policy, image *Image, tags []string, facts map[string]*pluginv1.TagFacts, look pluginv1.ResolveRequest_Look) hcl.Diagnostics {
	found := make([]*pluginv1.ResolveResponse, len(tags))
	all := make([]hcl.Diagnostics, len(tags))
	var g errgroup.Group
	g.SetLimit(looksAtOnce)
	for i, tag := range tags {
		g.Go(func() error {
			found[i], all[i] = c.lookAtTag(ctx, p, image, tag, look)
			return nil
		})
	}
	_ = g.Wait() // the findings are in all
	var diags hcl.Diagnostics
	for i, tag := range tags {
		if diags = append(diags, all[i]...); all[i].HasErrors() {
			continue
		}
		facts[tag] = &pluginv1.TagFacts{Digest: found[i].GetDigest(), Platforms: found[i].GetPlatforms(), CreatedUnix: found[i].GetCreatedUnix(), Artifact: found[i].GetArtifact()}
	}
	return diags
}
