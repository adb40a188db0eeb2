package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/plugintest"
)

// pluginTestFlags are the flags of plugin test.
type pluginTestFlags struct {
	config string
	json   bool
	asHost bool
}

func (a *app) pluginTestCmd() *cobra.Command {
	var f pluginTestFlags
	cmd := &cobra.Command{
		Use: "test PATH", Short: "Test that a plugin follows the protocol", Args: cobra.MinimumNArgs(1),
		Long: "Test runs a plugin in any language, reports where it breaks the protocol, and how to repair that.\n" +
			"The requests come from davit-plugin-test.hcl (or .json) beside the plugin, or are made from its schema:\n\n" +
			"    test \"source\" \"feed\" {\n" +
			"      config  = { url = \"https://example.com/feed\" }\n" +
			"      changed = { url = \"https://example.com/other\" }\n" +
			"      invalid = { url = \"not a url\" }\n" +
			"    }\n\n" +
			"Arguments after the path are passed to the plugin. The exit code is 1 if a check fails.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.testPlugin(cmd, &f, args) },
	}
	cmd.Flags().StringVar(&f.config, "config", "", "`file` with examples of each type")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&f.asHost, "as-host", false, "start the plugin and wait to be killed")
	_ = cmd.Flags().MarkHidden("as-host") // it is there: two lines above
	return cmd
}

func (a *app) testPlugin(cmd *cobra.Command, f *pluginTestFlags, args []string) error {
	path, err := pluginPath(args[0])
	if err != nil {
		return err
	}
	examples, err := pluginExamples(f.config, path)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	again := []string{"plugin", "test", "-as-host"}
	if examples.File != "" {
		again = append(again, "-config="+examples.File)
	}
	o := plugintest.Options{
		Executable: pluginhost.Executable{Path: path, Args: slices.Concat(examples.Args, args[1:]), Env: examples.Env}, Examples: examples, Version: version,
		Host: pluginhost.Executable{Path: self, Args: slices.Concat(again, []string{"--", path}, args[1:])},
	}
	if f.asHost {
		return plugintest.HostToKill(cmd.Context(), o, a.in, a.out)
	}
	report, err := plugintest.Run(cmd.Context(), o)
	if err != nil {
		return err
	}
	if report.Failed > 0 {
		a.code = exitError
	}
	if f.json {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(report)
	}
	return report.Write(a.out)
}

// pluginPath is where a plugin is: a path, or a name on the PATH.
func pluginPath(given string) (string, error) {
	if !strings.ContainsRune(given, filepath.Separator) {
		if _, err := os.Stat(given); err != nil {
			found, err := exec.LookPath(given)
			if err != nil {
				return "", fmt.Errorf("plugin %s was found neither here nor on the PATH", given)
			}
			given = found
		}
	}
	return filepath.Abs(given)
}

func pluginExamples(file, plugin string) (*plugintest.Examples, error) {
	if file == "" {
		return plugintest.FindExamples(plugin)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	return plugintest.LoadExamples(abs)
}
