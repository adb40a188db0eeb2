//go:build unix

package sdk_test

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// BenchmarkPlanStream plans instances that need nothing done, through one stream to a server in the same
// process, on one core: both sides' work is in the figure, and what the garbage of both costs.
func BenchmarkPlanStream(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	client := serve(b, sdk.New("bench", "1", sdk.Application("idle", idle{})))
	config := encode(b, client, "application", "idle", `{
		"name": "web", "namespace": "shop", "source": {"address": "source.git.repo", "revision": "0123456789abcdef0123456789abcdef01234567",
		"time": "2026-01-02T03:04:05Z", "tree": {"digest": "sha256:0123456789abcdef", "path": "/var/cache/davit/trees/0123456789abcdef"}},
		"labels": {"team": "shop", "tier": "web"}, "images": {"acme/api": "registry.example.com/api:1.0.7"}, "wait": true, "timeout": "5m"}`)
	stream, err := client.Plan(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := worked()
	go func() {
		for i := range b.N {
			_ = stream.Send(&pluginv1.PlanRequest{
				Id: uint64(i), Address: fmt.Sprintf("application.idle.web[%d]", i), Kind: "application", Type: "idle", Config: config,
				Prior: &pluginv1.Record{Config: config},
			})
		}
		_ = stream.CloseSend()
	}()
	for range b.N {
		if _, err := stream.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "instances/s")
	b.ReportMetric(float64(b.N)/(worked()-before).Seconds(), "instances/core-s")
}

// worked is the time that the process had a core: what others do on the machine is not in it.
func worked() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type idleConfig struct {
	Name      string                       `davit:"name"`
	Namespace string                       `davit:"namespace"`
	Source    sdk.SourceRef                `davit:"source"`
	Labels    map[string]string            `davit:"labels,optional"`
	Images    map[string]sdk.Value[string] `davit:"images,optional"`
	Wait      bool                         `davit:"wait,optional" default:"true"`
	Timeout   sdk.Duration                 `davit:"timeout,optional" default:"5m"`
}

type idle struct{}

func (idle) Plan(_ context.Context, r sdk.PlanRequest[idleConfig, sdk.ApplicationOutputs]) (sdk.PlanResult[sdk.ApplicationOutputs], error) {
	return sdk.PlanResult[sdk.ApplicationOutputs]{
		Action:  sdk.ActionNone,
		Outputs: sdk.ApplicationOutputs{Revision: r.Config.Source.Revision, Health: sdk.Known("Current"), Items: []string{"apps/Deployment/shop/web"}},
	}, nil
}

func (idle) Apply(_ context.Context, r sdk.ApplyRequest[idleConfig, sdk.ApplicationOutputs]) (sdk.Result[sdk.ApplicationOutputs], error) {
	return sdk.Result[sdk.ApplicationOutputs]{Outputs: r.Planned}, nil
}

func (idle) Destroy(context.Context, sdk.DestroyRequest[idleConfig, sdk.ApplicationOutputs]) error {
	return nil
}
