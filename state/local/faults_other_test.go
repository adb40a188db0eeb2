//go:build !linux

package local_test

import "errors"

func fail(string, []string) error { return errors.New("this system has no way to make calls fail") }
