package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
)

func (a *app) fmtCmd() *cobra.Command {
	var check, recursive bool
	cmd := &cobra.Command{
		Use: "fmt [FOLDER]", Short: "Write the stack's files in the usual form", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.format(dir, check, recursive)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit with 3 if a file is not in the usual form")
	cmd.Flags().BoolVar(&recursive, "recursive", false, "folders below as well")
	return cmd
}

// exitUnformatted is what `fmt -check` exits with, as Terraform's.
const exitUnformatted = 3

func (a *app) format(dir string, check, recursive bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (!recursive || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !d.Type().IsRegular() || (filepath.Ext(path) != ".hcl" && filepath.Ext(path) != ".hclvars"):
			return nil
		}
		return a.formatFile(path, check)
	})
}

func (a *app) formatFile(path string, check bool) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		return a.show(&config.Stack{Files: map[string]*hcl.File{path: f}}, diags)
	}
	formatted := hclwrite.Format(src)
	if bytes.Equal(src, formatted) {
		return nil
	}
	fmt.Fprintln(a.out, path)
	if check {
		a.code = exitUnformatted
		return nil
	}
	return os.WriteFile(path, formatted, 0o600)
}
