package main

import (
	"fmt"
	"io"
	"os"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/trim"
)

func (a *app) pluginCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Write, test, debug and publish plugins"}
	cmd.AddCommand(&cobra.Command{
		Use: "serve NAME", Short: "Serve a built-in plugin; davit runs this by itself", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			plugin := builtins[args[0]]
			if plugin == nil {
				return fmt.Errorf("the built-in plugin %q does not exist.%s", args[0], diag.DidYouMean(args[0], sortedKeys(builtins)))
			}
			silenceLibraries()
			sdk.Serve(plugin(version))
			return nil
		},
	})
	cmd.AddCommand(&cobra.Command{
		Use: "guard", Short: "End the plugins' children when davit is killed; davit starts it by itself", Args: cobra.NoArgs, Hidden: true,
		Run: func(*cobra.Command, []string) {
			trim.Soon()
			pluginhost.Guard(os.Stdin)
		},
	})
	cmd.AddCommand(a.pluginTestCmd(), a.pluginRunCmd(), a.pluginNewCmd(), a.pluginPushCmd(), a.pluginMirrorCmd())
	return cmd
}

// silenceLibraries keeps what Kubernetes' and BuildKit's libraries log out of the plugins' output: it may hold values.
func silenceLibraries() {
	klog.SetLogger(logr.Discard())
	logrus.SetOutput(io.Discard)
}
