// Package state_test runs the remote state backends against real servers, over good connections and bad.
package state_test

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/kubernetes"
	"github.com/davit-sh/davit/state/remotetest"
	"github.com/davit-sh/davit/state/s3"
	"github.com/davit-sh/davit/state/statetest"
)

// fresh is a name that no other test has used.
func fresh(name string) string { return name + "-" + strings.ToLower(rand.Text()[:8]) }

// a place is one empty state on a real server.
type place struct {
	s3         *s3.Config
	kubernetes *kubernetes.Config
	ttl        time.Duration
}

func (p place) open(t testing.TB) state.Store {
	t.Helper()
	var s state.Store
	var err error
	if p.s3 != nil {
		var o []s3.Option
		if p.ttl > 0 {
			o = append(o, s3.TTL(p.ttl))
		}
		s, err = s3.Open(t.Context(), *p.s3, o...)
	} else {
		var o []kubernetes.Option
		if p.ttl > 0 {
			o = append(o, kubernetes.TTL(p.ttl))
		}
		s, err = kubernetes.Open(t.Context(), *p.kubernetes, o...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, fresh func(*testing.T) place) {
		statetest.Run(t, func(t *testing.T) statetest.Backend {
			p := fresh(t)
			p.ttl = 5 * time.Second
			return remotetest.Backend(func() state.Store { return p.open(t) })
		})
	})
}

// each runs a test on all remote backends.
func each(t *testing.T, test func(t *testing.T, fresh func(*testing.T) place)) {
	t.Helper()
	t.Run("s3", func(t *testing.T) { test(t, newS3) })
	t.Run("kubernetes", func(t *testing.T) { test(t, newKubernetes) })
}

// newS3 makes a bucket, and gives this process the right to use it as a person would.
func newS3(t *testing.T) place {
	t.Helper()
	bucket := fresh("state")
	if err := l.S3.Bucket(bucket); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", l.S3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", l.S3.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	nothing := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", nothing)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
	return place{s3: &s3.Config{Bucket: bucket, Key: "shop/prod", Region: l.S3.Region, Endpoint: l.S3.URL, PathStyle: true}}
}

func newKubernetes(t *testing.T) place {
	t.Helper()
	return place{kubernetes: &kubernetes.Config{Name: fresh("shop"), Namespace: "default", Kubeconfig: l.APIServer.Kubeconfig}}
}
