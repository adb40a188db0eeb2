package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/session"
)

// formatter writes files in the usual form, or says which are not in it.
type formatter struct {
	*app
	check, recursive, diff, list, write bool
	broken                              bool
}

func (a *app) fmtCmd() *cobra.Command {
	f := &formatter{app: a}
	cmd := &cobra.Command{
		Use: "fmt [FILE|FOLDER|-]...", Short: "Format the stack's files",
		Long: "Fmt formats *.hcl and *.hclvars files and prints the names of the files that it changes. With - it formats standard input.\n" +
			"A file that is not HCL is an error; the other files are still formatted.\n\n" +
			"  davit fmt -recursive\n  davit fmt -check -diff",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			for _, arg := range args {
				if err := f.argument(arg); err != nil {
					return err
				}
			}
			if f.broken {
				return errShown
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing; exit with 3 if a file is not formatted")
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "subfolders as well")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "print the differences")
	cmd.Flags().BoolVar(&f.list, "list", true, "print the names of files that change")
	cmd.Flags().BoolVar(&f.write, "write", true, "write the files")
	return cmd
}

// exitUnformatted is what `fmt -check` exits with, as Terraform's.
const exitUnformatted = 3

func (f *formatter) argument(arg string) error {
	if arg == "-" {
		src, err := io.ReadAll(f.in)
		if err != nil {
			return err
		}
		return f.text("standard input", src, func(out []byte) error {
			_, err := f.out.Write(out)
			return err
		})
	}
	info, err := os.Stat(arg)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return f.file(arg, info.Mode())
	}
	return filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != arg && (!f.recursive || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !d.Type().IsRegular() || (filepath.Ext(path) != ".hcl" && filepath.Ext(path) != ".hclvars"):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return f.file(path, info.Mode())
	})
}

func (f *formatter) file(path string, mode fs.FileMode) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return f.text(path, src, func(out []byte) error {
		if bytes.Equal(src, out) {
			return nil
		}
		if f.list {
			fmt.Fprintln(f.out, path)
		}
		if f.diff {
			fmt.Fprint(f.out, udiff.Unified("a/"+path, "b/"+path, string(src), string(out)))
		}
		if f.check {
			f.code = exitUnformatted
			return nil
		}
		if !f.write {
			return nil
		}
		return session.ReplaceFile(path, out, mode)
	})
}

// text formats a text and hands it on. One that is no HCL is reported, and the others go on.
func (f *formatter) text(name string, src []byte, then func([]byte) error) error {
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		f.broken = true
		_ = f.showSource(name, string(src), diags) // counted at the end
		return nil
	}
	return then(hclwrite.Format(src))
}
