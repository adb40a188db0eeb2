package hooks

import (
	"sync"

	"golang.org/x/time/rate"
)

// callers counts the failures of each address. It remembers a bounded number of them.
type callers struct {
	mu        sync.Mutex
	byAddress map[string]*rate.Limiter
}

func newCallers() *callers { return &callers{byAddress: map[string]*rate.Limiter{}} }

// listenedTo tells whether an address has not failed too often.
func (c *callers) listenedTo(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.byAddress[address]
	return l == nil || l.Tokens() >= 1
}

// failed counts a failure. It returns true for the one after which the address is not listened to any more.
func (c *callers) failed(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.byAddress[address]
	if l == nil {
		if len(c.byAddress) >= mostAddresses {
			c.forget()
		}
		l = rate.NewLimiter(failuresPerSecond, failureBurst)
		c.byAddress[address] = l
	}
	return l.Allow() && l.Tokens() < 1
}

// forget drops the addresses that have not failed for a while, and any others if there are none.
func (c *callers) forget() {
	for a, l := range c.byAddress {
		if l.Tokens() >= failureBurst {
			delete(c.byAddress, a)
		}
	}
	for a := range c.byAddress {
		if len(c.byAddress) < mostAddresses/2 {
			return
		}
		delete(c.byAddress, a)
	}
}
