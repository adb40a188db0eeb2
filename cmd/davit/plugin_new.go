package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/scaffold"
)

func (a *app) pluginNewCmd() *cobra.Command {
	o := scaffold.Options{Version: "v" + version}
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Create a new plugin in Go", Args: cobra.ExactArgs(1),
		Long: "New writes a folder with a complete Go module: one type, its test, and the examples for davit plugin test.",
		RunE: func(_ *cobra.Command, args []string) error {
			o.Name = args[0]
			return a.newPlugin(o)
		},
	}
	cmd.Flags().StringVar(&o.Kind, "kind", "", "`kind` of its type: "+strings.Join(scaffold.Kinds(), ", "))
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`folder` to write (default: the name of the module)")
	cmd.Flags().StringVar(&o.Module, "module", "", "`path` of the Go module (default: davit-NAME)")
	cmd.Flags().StringVar(&o.Replace, "replace", "", "build with the davit source in this `folder` instead of a release; a development build needs it")
	return cmd
}

func (a *app) newPlugin(o scaffold.Options) error {
	if o.Kind == "" {
		return fmt.Errorf("-kind is missing: one of %s", strings.Join(scaffold.Kinds(), ", "))
	}
	if o.Module == "" {
		o.Module = "davit-" + o.Name
	}
	if o.Dir == "" {
		o.Dir = filepath.Base(filepath.FromSlash(o.Module))
	}
	if o.Replace == "" && strings.HasSuffix(version, "-dev") {
		return fmt.Errorf("this davit (%s) is a development build, and there is no Go module of that version: add -replace=FOLDER, the folder of the source that it was built from", version)
	}
	if o.Replace != "" {
		abs, err := filepath.Abs(o.Replace)
		if err != nil {
			return err
		}
		o.Replace = abs
	}
	files, err := scaffold.Write(o)
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintln(a.out, filepath.Join(o.Dir, filepath.FromSlash(f)))
	}
	binary := filepath.Base(filepath.FromSlash(o.Module))
	fmt.Fprintf(a.out, "\nNext:\n\n  cd %s\n  go mod tidy\n  go build && go test\n  davit plugin test ./%s\n", o.Dir, binary)
	return nil
}
