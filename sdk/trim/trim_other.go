//go:build !linux

package trim

func startup() {}
