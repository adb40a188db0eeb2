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
	a.claims.drop(r.Address)
	result := sdk.PlanResult[Outputs]{Action: sdk.ActionDelete}
	if r.Prior == nil {
		result.Action = sdk.ActionNone
		return result, nil
	}
	connected, err := a.connect(ctx, r.Config)
	if err != nil {
		return result, err
	}
	v, err := decodeInventory(r.Prior.Private)
	if err != nil {
		return result, err
	}
	all, err := mine(ctx, connected, v.Entries, r.Address, v.Owner)
	if err != nil {
		return result, err
	}
	for _, d := range all {
		note := ""
		switch {
		case d.Object.Added:
			note = "unless it has objects of others"
		case d.Object.Kind == "Namespace":
			note = "and everything in it"
		case d.Object.Kind == "CustomResourceDefinition":
			note = "and all objects of its kind"
		}
		result.Items = append(result.Items, deleted(d, note))
	}
	result.Private, _ = json.Marshal(planned{Deletes: all}) // strings only
	return result, nil
}

// Destroy deletes the planned objects in the reverse order of their kinds.
func (a *Application) Destroy(ctx context.Context, r sdk.DestroyRequest[Config, Outputs]) error {
	connected, err := a.connect(ctx, r.Config)
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
	var mu sync.Mutex
	rest := v.clone()
	remove := &removal{
		app: a, address: r.Address, cluster: connected, owners: []string{r.Address, v.Owner}, timeout: time.Duration(r.Config.Timeout),
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
