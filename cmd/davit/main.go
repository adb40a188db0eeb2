// Command davit plans and applies continuous delivery. One file a verb; no logic.
package main

import (
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/davit-sh/davit/cmd/davit/internal/firstgc"
	"github.com/davit-sh/davit/plugins/buildx"
	"github.com/davit-sh/davit/plugins/git"
	"github.com/davit-sh/davit/plugins/kubernetes"
	"github.com/davit-sh/davit/plugins/kubernetes/render/cell"
	"github.com/davit-sh/davit/plugins/oci"
	"github.com/davit-sh/davit/plugins/registry"
	"github.com/davit-sh/davit/sdk"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// builtins are the plugins that are part of this binary, started as processes of their own.
var builtins = map[string]func(version string) *sdk.Plugin{
	"buildx":     buildx.Plugin,
	"git":        git.Plugin,
	"kubernetes": kubernetes.Plugin,
	"oci":        oci.Plugin,
	"registry":   registry.Plugin,
}

func main() {
	cell.Main()
	log.SetOutput(io.Discard)      // libraries log values that they cannot read, secrets among them
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow (ulimit -f) is an error then, like a full disk
	log.SetOutput(io.Discard)      // libraries write values to it, sensitive ones among them
	stop := profile()
	code := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
