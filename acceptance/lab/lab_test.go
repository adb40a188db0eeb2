package lab_test

import (
	"os"
	"testing"

	"github.com/davit-sh/davit/acceptance/lab"
)

var l *lab.Lab

func TestMain(m *testing.M) {
	os.Exit(lab.Run(m, &l, lab.Options{
		Registry: true, AuthRegistry: true, Gitea: true, BuildKit: true, Kubernetes: true,
	}))
}
