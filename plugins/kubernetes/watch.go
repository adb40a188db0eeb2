package kubernetes

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
	"github.com/davit-sh/davit/sdk"
)

var _ sdk.Watcher[Config, Outputs] = (*Application)(nil)

// errOtherKubeconfig ends the watches of a connection when the kubeconfig has changed: they begin again with the new one.
var errOtherKubeconfig = errors.New("the kubeconfig has changed")

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
	err = connected.hub.Watch(ctx, watched, func(n drift.Notice) { notice(sdk.Notice{Reason: n.Reason, Health: n.Health}) })
	if ctx.Err() != nil || errors.Is(err, errOtherKubeconfig) {
		return err
	}
	return connected.Explain(err, "watch", "the objects of "+r.Address)
}
