package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/plugins/registry/embedded"
)

func (a *app) registryCmd() *cobra.Command {
	var address, dir string
	cmd := &cobra.Command{Use: "registry", Short: "A small registry for experiments"}
	serve := &cobra.Command{
		Use: "serve", Short: "Serve images from a folder until interrupted", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			actual, wait, err := embedded.Serve(a.soft, address, dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "Serving %s on %s\n", dir, actual)
			return wait()
		},
	}
	serve.Flags().StringVar(&address, "address", "127.0.0.1:5100", "`host:port` to listen on")
	serve.Flags().StringVar(&dir, "dir", ".davit/registry", "`folder` that keeps the images")
	cmd.AddCommand(serve)
	return cmd
}
