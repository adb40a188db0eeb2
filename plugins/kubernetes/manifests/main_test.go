package manifests_test

import (
	"os"
	"testing"

	"github.com/davit-sh/davit/plugins/kubernetes/render/cell"
)

func TestMain(m *testing.M) {
	cell.Main()
	os.Exit(m.Run())
}
