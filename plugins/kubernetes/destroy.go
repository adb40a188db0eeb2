package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// planDestroy lists what Destroy would delete.
func (a *Application) planDestroy(ctx context.Context, r sdk.PlanRequest[Config, Outputs]) (sdk.PlanResult[Outputs], error) {
	result := sdk.PlanResult[Outputs]{Action: sdk.ActionDelete, Causes: []sdk.Cause{sdk.CauseRemoved}}
	if r.Prior == nil {
		return sdk.PlanResult[Outputs]{Action: sdk.ActionNone}, nil
	}
	v, err := decodeInventory(r.Prior.Private)
	if err != nil {
		return result, err
	}
	o := ownerAt(ctx, r.Address, v)
	connected, clusterID, err := a.reach(ctx, r.Config)
	if err != nil {
		return result, err
	}
	deletes, stay, err := examine(ctx, connected.Cluster, o, v.Entries, nil)
	if err != nil {
		return result, err
	}
	for _, d := range deletes {
		item := deleted(d, d.note())
		item.Causes, item.Claim = result.Causes, claimOf(clusterID, d.Object.ref())
		result.Items = append(result.Items, item)
	}
	for _, k := range stay {
		result.Items = append(result.Items, k.stays())
		result.Reasons = append(result.Reasons, k.reason())
	}
	result.Private, _ = json.Marshal(planned{Deletes: deletes}) // strings only
	return result, nil
}

// Destroy deletes the planned objects in the reverse order of their kinds.
func (a *Application) Destroy(ctx context.Context, r sdk.DestroyRequest[Config, Outputs]) error {
	connected, clusterID, err := a.reach(ctx, r.Config)
	if err != nil {
		return err
	}
	v, err := decodeInventory(r.Prior.Private)
	if err != nil {
		return err
	}
	var pins planned
	if err := json.Unmarshal(r.Private, &pins); err != nil {
		return fmt.Errorf("the application's part of the plan cannot be read: %w", err)
	}
	defer connected.hub.Busy(watchID(ctx, r.Address))()
	var mu sync.Mutex
	rest := v.clone()
	remove := &removal{
		cluster: connected.Cluster, hub: connected.hub, clusterID: clusterID, owner: ownerAt(ctx, r.Address, v), timeout: time.Duration(r.Config.Timeout), transferred: r.Transferred,
		gone: func(e entry) error {
			mu.Lock()
			defer mu.Unlock()
			rest.drop(e.ref())
			return sdk.Save(ctx, sdk.Result[Outputs]{Outputs: outputsOf(r.Prior.Outputs, rest, "Terminating"), Private: rest.encode()})
		},
	}
	return remove.run(ctx, pins.Deletes)
}

// outputsOf are the outputs of a part of an application.
func outputsOf(o Outputs, v inventory, health string) Outputs {
	o.Items, o.Objects, o.Health = nil, nil, sdk.Known(health)
	for _, e := range v.Entries {
		if !e.Added {
			o.add(e.ref())
		}
	}
	o.sort()
	return o
}
