package reconcile

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// board keeps the status of one stack. It may be used concurrently.
type board struct {
	changed func() // called after each change, without the lock

	mu        sync.Mutex
	about     status.Stack // without instances and orders
	instances map[string]*status.Instance
	running   map[string]*status.Running // by address
	orders    []*status.Order            // oldest first
}

// mostOrders is how many orders a stack's status keeps.
const mostOrders = 50

// set changes what the board says of the stack.
func (b *board) set(change func(s *status.Stack)) {
	b.mu.Lock()
	change(&b.about)
	b.mu.Unlock()
	b.changed()
}

// stack returns the status as it is now; it belongs to the caller.
func (b *board) stack(detail bool) status.Stack {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.about
	s.Counts = status.Counts{}
	for address, in := range b.instances {
		count(&s.Counts, in, b.running[address])
	}
	for _, o := range slices.Backward(b.orders) {
		s.Orders = append(s.Orders, *o)
	}
	if !detail {
		return s
	}
	s.Instances = make([]status.Instance, 0, len(b.instances))
	for address, in := range b.instances {
		own := *in
		if r := b.running[address]; r != nil {
			copied := *r
			own.Running, own.State = &copied, status.Changing
		}
		s.Instances = append(s.Instances, own)
	}
	slices.SortFunc(s.Instances, func(a, b status.Instance) int { return strings.Compare(a.Address, b.Address) })
	return s
}

func count(c *status.Counts, in *status.Instance, running *status.Running) {
	c.Instances++
	switch {
	case running != nil || in.State == status.Changing || in.State == status.Planned:
		c.Changing++
	case in.State == status.Waiting:
		c.Waiting++
	case in.State == status.Failed || in.State == status.Blocked:
		c.Failed++
	case in.State == status.Drifted || in.State == status.Stalled:
		c.Drifted++
	}
	if in.Health != "" && in.Health != "Current" {
		c.Unhealthy++
	}
}

// instance returns what is known of an instance, to be changed under the lock.
func (b *board) instance(address string) *status.Instance {
	in := b.instances[address]
	if in == nil {
		in = &status.Instance{Address: address}
		b.instances[address] = in
	}
	return in
}

// onEvent follows what runs.
func (b *board) onEvent(e event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Type {
	case event.OperationStart:
		b.running[e.Address] = &status.Running{Action: e.Action, Operation: e.Operation, Since: e.Time}
	case event.OperationDone, event.OperationFailed:
		delete(b.running, e.Address)
	case event.Progress:
		if r := b.running[e.Address]; r != nil {
			r.Message = e.Message
		}
	case event.Item:
		if r := b.running[e.Address]; r != nil {
			r.Message = strings.TrimSpace(e.Item + " " + e.Status + " " + e.Message)
		}
	}
}

// stopped forgets what runs.
func (b *board) stopped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.running)
}

// addOrder keeps an order.
func (b *board) addOrder(o status.Order) {
	b.mu.Lock()
	b.orders = append(b.orders, &o)
	for i := 0; len(b.orders) > mostOrders && i < len(b.orders); {
		if b.orders[i].Over() {
			b.orders = slices.Delete(b.orders, i, i+1)
		} else {
			i++
		}
	}
	b.mu.Unlock()
	b.changed()
}

func (b *board) order(token string) (status.Order, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.orders {
		if o.Token == token {
			return *o, true
		}
	}
	return status.Order{}, false
}

// setOrders changes the orders with these tokens.
func (b *board) setOrders(tokens []string, change func(o *status.Order)) {
	if len(tokens) == 0 {
		return
	}
	b.mu.Lock()
	for _, o := range b.orders {
		if slices.Contains(tokens, o.Token) {
			change(o)
		}
	}
	b.mu.Unlock()
	b.changed()
}

// endOrders ends orders that a pass has dealt with.
func (b *board) endOrders(tokens []string, pass uint64, failed bool, message string) {
	b.setOrders(tokens, func(o *status.Order) {
		o.State, o.Ended, o.Pass, o.Message = status.OrderDone, time.Now().UTC(), pass, message
		if failed {
			o.State = status.OrderFailed
		}
	})
}
