package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/trim"
)

func (a *app) pluginCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Write, test, debug and publish plugins"}
	cmd.AddCommand(&cobra.Command{
		Use: "serve NAME", Short: "Serve a built-in plugin; davit does this by itself", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			plugin := builtins[args[0]]
			if plugin == nil {
				return fmt.Errorf("there is no built-in plugin %q.%s", args[0], diag.DidYouMean(args[0], sortedKeys(builtins)))
			}
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
