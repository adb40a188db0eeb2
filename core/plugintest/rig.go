package plugintest

import (
	"context"
	"sync"

	"github.com/davit-sh/davit/core/pluginhost"
)

// name is what the suite's host calls the plugin.
const name = "plugin"

// rig runs the plugin, again when it has ended, and keeps what it prints.
type rig struct {
	suite *suite

	mu      sync.Mutex
	host    *pluginhost.Host
	client  *pluginhost.Client
	output  []string // of standard error and standard output
	printed []string // of standard output
}

func (s *suite) newRig() *rig { return &rig{suite: s} }

// newHost makes a host of the plugin whose output the rig keeps.
func (r *rig) newHost() *pluginhost.Host {
	o := r.suite.options
	return pluginhost.New(pluginhost.Options{
		Version: o.Version, CacheDir: r.suite.cache, StackDir: r.suite.folder,
		Plugins: map[string]pluginhost.Executable{name: o.Executable},
		Log:     func(_, line string) { r.keep(&r.output, line) },
		Stdout:  func(_, line string) { r.keep(&r.printed, line) },
	})
}

// mostLines is how many lines of output are kept.
const mostLines = 10000

func (r *rig) keep(list *[]string, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(*list) < mostLines {
		*list = append(*list, line)
	}
}

func (r *rig) lines(list *[]string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, *list...)
}

// running returns the plugin, started again if it has ended.
func (r *rig) running(ctx context.Context) (*pluginhost.Client, error) {
	if r.client != nil {
		if _, ended := r.client.Ended(); !ended {
			return r.client, nil
		}
		r.close()
	}
	r.host = r.newHost()
	var err error
	r.client, err = r.host.Client(ctx, name)
	if err != nil {
		r.close()
	}
	return r.client, err
}

func (r *rig) close() {
	if r.host != nil {
		_ = r.host.Close() // it has no more to say
	}
	r.host, r.client = nil, nil
}
