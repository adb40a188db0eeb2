package kubernetes

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
	"github.com/davit-sh/davit/sdk"
)

var _ sdk.Watcher[Config, Outputs] = (*Application)(nil)

// kubeconfigInterval is how often a watch looks whether the kubeconfig is another one.
const kubeconfigInterval = time.Minute

var errOtherKubeconfig = errors.New("the kubeconfig has changed: the watch begins again with the new one")

// watchID tells an application from those of other stacks.
func watchID(ctx context.Context, address string) string { return poll.ID(ctx, address) }

// Watch tells when others change or delete objects of the application, and when its health changes. One watch of a kind and a namespace serves
// all applications on the cluster.
func (a *Application) Watch(ctx context.Context, r sdk.WatchRequest[Config, Outputs], notice func(sdk.Notice)) error {
	if r.Prior == nil {
		<-ctx.Done() // it has nothing yet
		return ctx.Err()
	}
	v, err := decodeInventory(r.Prior.Private)
	if err != nil {
		return err
	}
	connected, err := a.connect(ctx, r.Config)
	if err != nil {
		return err
	}
	watched := drift.Application{ID: watchID(ctx, r.Address), Objects: map[drift.Key]types.UID{}, Health: r.Prior.Outputs.Health.OrZero()}
	for _, e := range v.Entries {
		watched.Objects[drift.KeyOf(e.ref())] = e.UID
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go a.untilOtherKubeconfig(ctx, r.Config, connected, cancel)
	err = connected.hub.Watch(ctx, watched, func(n drift.Notice) { notice(sdk.Notice{Reason: n.Reason, Health: n.Health}) })
	if errors.Is(context.Cause(ctx), errOtherKubeconfig) {
		return errOtherKubeconfig
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return connected.Explain(err, "watch", "the objects of "+r.Address)
}

// untilOtherKubeconfig cancels a watch when the kubeconfig leads to another connection.
func (a *Application) untilOtherKubeconfig(ctx context.Context, c Config, was connection, cancel context.CancelCauseFunc) {
	ticks := time.NewTicker(kubeconfigInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if now, err := a.connect(ctx, c); err == nil && now.Cluster != was.Cluster {
			cancel(errOtherKubeconfig)
			return
		}
	}
}
