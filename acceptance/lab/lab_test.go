package lab_test

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/davit-sh/davit/acceptance/lab"
)

var l *lab.Lab

func TestMain(m *testing.M) {
	os.Exit(lab.Run(m, &l, lab.Options{
		Registry: true, AuthRegistry: true, Gitea: true, BuildKit: true, Kubernetes: true, S3: true,
	}))
}

// fresh is a name that no other run of a test has used.
func fresh(name string) string { return name + "-" + strings.ToLower(rand.Text()[:6]) }
