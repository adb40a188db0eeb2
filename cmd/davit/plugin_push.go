package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/pluginhost"
)

func (a *app) pluginPushCmd() *cobra.Command {
	var files []string
	var p install.Publication
	cmd := &cobra.Command{
		Use: "push [FOLDER] oci://REPOSITORY:VERSION", Short: "Push a plugin for all its platforms to a registry", Args: cobra.RangeArgs(1, 2),
		Long: "Push publishes a plugin's executables as one OCI index. Name a folder with files NAME_OS_ARCH, or each file:\n\n" +
			"    davit plugin push dist oci://registry.example.com/davit/telegram:1.2.0\n" +
			"    davit plugin push -platform linux/amd64=out/a -platform linux/arm64=out/b oci://registry.example.com/davit/telegram:1.2.0\n\n" +
			"The executable for this machine is started once: its version must equal the tag. The same executables give the same digest.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.pushPlugin(cmd.Context(), p, files, args) },
	}
	cmd.Flags().StringArrayVar(&files, "platform", nil, "an executable, as `os/arch=file`")
	cmd.Flags().BoolVar(&p.Insecure, "insecure", false, "allow plain HTTP to a registry on another machine")
	cmd.Flags().BoolVar(&p.Force, "force", false, "move a tag that has other content, and accept a tag that is not the plugin's version")
	return cmd
}

func (a *app) pushPlugin(ctx context.Context, p install.Publication, files, args []string) error {
	var err error
	p.To, p.Platform = args[len(args)-1], install.Platform()
	if p.Executables, err = executables(files, args[:len(args)-1]); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	p.Describe = func(ctx context.Context, name, path, sum string) (install.Description, error) {
		d, err := ask(ctx, dir, name, pluginhost.Executable{Path: path, SHA256: sum})
		return descriptionOf(d), err
	}
	done, err := install.Push(ctx, p)
	if err != nil {
		return err
	}
	for _, w := range done.Warnings {
		fmt.Fprintf(a.err, "Warning: %s\n", w)
	}
	if d := done.Description; d.Name != "" {
		fmt.Fprintf(a.out, "Plugin %s %s with %s\n", d.Name, d.Version, strings.Join(d.Types, ", "))
	}
	source, _, _ := strings.Cut(p.To, "@")
	fmt.Fprintf(a.out, "Pushed %s@%s for %s\nUse it as source = %q\n", done.Repository, done.Digest, strings.Join(sortedKeys(p.Executables), ", "), source)
	return nil
}

// executables are the files to push, by platform.
func executables(files, folder []string) (map[string]string, error) {
	if len(files) > 0 && len(folder) > 0 || len(files)+len(folder) == 0 {
		return nil, fmt.Errorf("name a folder with files NAME_OS_ARCH, or the files with -platform linux/amd64=FILE")
	}
	if len(folder) > 0 {
		return install.Built(folder[0])
	}
	found := map[string]string{}
	for _, f := range files {
		platform, path, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("-platform must be os/arch=file, such as linux/amd64=dist/telegram, not %s", f)
		}
		platform, err := install.ParsePlatform(platform)
		if err != nil {
			return nil, err
		}
		if found[platform] != "" {
			return nil, fmt.Errorf("-platform %s is given twice", platform)
		}
		found[platform] = path
	}
	return found, nil
}
