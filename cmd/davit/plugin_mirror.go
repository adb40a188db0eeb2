package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/internal/text"
)

func (a *app) pluginMirrorCmd() *cobra.Command {
	return &cobra.Command{
		Use: "mirror FOLDER", Short: "Copy the plugins that the stack requires into a folder, for all platforms", Args: cobra.ExactArgs(1),
		Long: "Mirror copies the plugins of required_plugins to HOST/REPOSITORY/VERSION/OS_ARCH/NAME in a folder, with their signatures and digests.\n" +
			"Locked plugins are copied in their locked version. When " + install.MirrorVariable + " names the folder, davit init takes plugins from it and contacts no registry.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.mirrorPlugins(cmd, args[0]) },
	}
}

func (a *app) mirrorPlugins(cmd *cobra.Command, folder string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	locked, err := session.ReadLockFile(dir)
	if err != nil {
		return err
	}
	stack, diags := config.Load(dir)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	i, err := a.installer()
	if err != nil {
		return err
	}
	copied := 0
	for _, name := range sortedKeys(stack.Settings.Plugins) {
		p := stack.Settings.Plugins[name]
		if !install.Fetched(p.Source) {
			continue
		}
		r, err := session.Requirement(stack, p)
		if err != nil {
			return err
		}
		release, err := i.WriteMirror(cmd.Context(), r, locked.Plugin(name), folder)
		if err != nil {
			return err
		}
		copied++
		fmt.Fprintf(a.out, "Plugin %s %s for %s\n", name, release.Claims.Version, strings.Join(sortedKeys(release.Platforms), ", "))
	}
	fmt.Fprintf(a.out, "Copied %s to %s. Use them with %s=%s\n", text.Count(copied, "plugin"), folder, install.MirrorVariable, folder)
	return nil
}
