package oci

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// Sources that follow a tag or a range hear of another artifact, also of one that was pushed between a look and the watch. Those that follow a
// digest hear nothing.
func TestWatch(t *testing.T) {
	s := newShelf(t)
	one := s.push("1.0.0", map[string]string{"main.hcl": "one"})
	before, err := s.observe(ArtifactConfig{Tag: "1.0.0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := PushFolder(t.Context(), s.config.Repository+":1.0.0", Folder{Dir: t.TempDir()}, false, true)
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact{}
	watch := func(address string, c ArtifactConfig, prior *ArtifactOutputs) <-chan string {
		told := make(chan string, 100)
		c.Repository, c.Timeout = s.config.Repository, sdk.Duration(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		t.Cleanup(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", address, err)
			}
		})
		r := sdk.WatchRequest[ArtifactConfig, ArtifactOutputs]{Address: address, Config: c, Interval: 100 * time.Millisecond}
		if prior != nil {
			r.Prior = &sdk.Record[ArtifactConfig, ArtifactOutputs]{Outputs: *prior}
		}
		go func() { done <- a.Watch(ctx, r, func(n sdk.Notice) { told <- n.Reason }) }()
		return told
	}
	hear := func(told <-chan string, text string) {
		t.Helper()
		select {
		case got := <-told:
			if !strings.Contains(got, text) {
				t.Errorf("told %q, want %q", got, text)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("nothing was told of %s", text)
		}
	}
	tag := watch("source.oci.tag", ArtifactConfig{Tag: "1.0.0"}, &before)
	highest := watch("source.oci.range", ArtifactConfig{Semver: "~1"}, nil)
	fixed := watch("source.oci.digest", ArtifactConfig{Digest: one}, nil)
	hear(tag, moved)
	time.Sleep(time.Second)
	two := s.push("1.1.0", map[string]string{"main.hcl": "two"})
	hear(highest, "1.1.0@"+two)
	time.Sleep(500 * time.Millisecond)
	if n := len(tag) + len(highest) + len(fixed); n != 0 {
		t.Errorf("%d notices too many", n)
	}
}
