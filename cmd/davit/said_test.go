package main

import (
	"bytes"
	"sync"
)

// said is what a davit that runs has written so far.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
	made int // instances
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made += bytes.Count(b, []byte(": created in "))
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
