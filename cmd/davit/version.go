package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/plugins/kubernetes/render/cell"
	"github.com/davit-sh/davit/sdk/handshake"
)

// versions is what `version -json` prints: see schemas/version.schema.json.
type versions struct {
	Format   int               `json:"format_version"`
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Protocol int               `json:"plugin_protocol"`
	Plugins  map[string]string `json:"plugins"` // built-in ones, and those that the stack here has locked
	Render   *cell.Confinement `json:"render"`  // what confines the process that renders; null when none can be started
}

// versionLine is what davit version and davit -version print.
func versionLine() string {
	return fmt.Sprintf("davit %s (%s/%s, %s)\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func (a *app) versionCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Long: "Version prints davit's version; -json adds the plugins, those that the stack here has locked among them, and what\n" +
			"the kernel keeps the processes from that render what repositories hold.\n\n  davit version -json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				fmt.Fprint(a.out, versionLine())
				return nil
			}
			v := versions{Format: jsonFormat, Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Protocol: int(handshake.Config.ProtocolVersion), Plugins: map[string]string{}}
			for name := range builtins {
				v.Plugins[name] = version
			}
			if dir, err := os.Getwd(); err == nil {
				if locked, err := session.ReadLockFile(dir); err == nil { // no stack here, or one that init complains about
					for _, l := range locked.Plugins {
						v.Plugins[l.Name] = l.Version
					}
				}
			}
			if confined, err := cell.New().Confinement(cmd.Context()); err == nil {
				v.Render = &confined
			}
			return writeJSON(a.out, v)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: schemas/version.schema.json")
	return cmd
}
