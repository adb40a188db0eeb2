// Package state_test runs the remote state backends against real servers, over good connections and bad.
package state_test

import (
	"os"
	"testing"

	"github.com/davit-sh/davit/acceptance/lab"
)

var l *lab.Lab

func TestMain(m *testing.M) {
	os.Exit(lab.Run(m, &l, lab.Options{APIServer: true, S3: true}))
}
