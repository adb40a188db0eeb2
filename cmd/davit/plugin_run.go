package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/pluginhost"
)

func (a *app) pluginRunCmd() *cobra.Command {
	var debug bool
	cmd := &cobra.Command{
		Use: "run PATH", Short: "Start a plugin and keep it running, for other davit commands to connect to", Args: cobra.MinimumNArgs(1),
		Long: "Run starts a plugin, prints the variable that connects other davit commands to it, and shows its output until it is interrupted.\n" +
			"With -debug its start has no time limit, so that a debugger can attach.\n" +
			"A Go plugin can also be started by the debugger itself, and prints the same:\n\n" +
			"    dlv exec ./my-plugin -- -debug\n\n" +
			"Arguments after the path are passed to the plugin.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runPlugin(cmd, debug, args) },
	}
	cmd.Flags().BoolVar(&debug, "debug", false, "do not limit the time of the plugin's start")
	return cmd
}

func (a *app) runPlugin(cmd *cobra.Command, debug bool, args []string) error {
	host, err := a.hostOfOne(args, debug)
	if err != nil {
		return err
	}
	defer host.Close()
	client, err := host.Client(cmd.Context(), "it")
	if err != nil {
		return err
	}
	d, err := client.Describe(cmd.Context())
	if err != nil {
		return err
	}
	where := client.Reattach()
	text, err := json.Marshal(map[string]pluginhost.Reattach{d.GetName(): where})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Plugin %s %s runs as process %d until it is interrupted. In another shell, run davit with\n\n  export %s='%s'\n",
		d.GetName(), d.GetVersion(), where.Pid, pluginhost.ReattachVariable, text)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-a.soft.Done():
			return nil
		case <-look.C:
			if how, ended := client.Ended(); ended {
				return fmt.Errorf("the plugin %s ended (%s)", d.GetName(), how)
			}
		}
	}
}

// hostOfOne makes a host of the plugin "it", whose output is shown.
func (a *app) hostOfOne(args []string, patient bool) (*pluginhost.Host, error) {
	path, err := pluginPath(args[0])
	if err != nil {
		return nil, err
	}
	examples, err := pluginExamples("", path)
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	var printing sync.Mutex
	o := pluginhost.Options{
		Version: version, CacheDir: cache, StackDir: dir, StartTimeout: time.Minute,
		Plugins: map[string]pluginhost.Executable{"it": {Path: path, Args: append(examples.Args, args[1:]...), Env: examples.Env}},
		Log: func(_, line string) {
			printing.Lock()
			defer printing.Unlock()
			fmt.Fprintln(a.err, line)
		},
	}
	if patient {
		o.StartTimeout = math.MaxInt64 / 4
	}
	return pluginhost.New(o), nil
}

// tellReattached reminds of plugins that a person has started: nobody has verified them. The variable has them by their own
// names, and a stack may call them otherwise.
func (a *app) tellReattached(required map[string]*config.RequiredPlugin) {
	all, _ := pluginhost.ParseReattach(os.Getenv(pluginhost.ReattachVariable)) // who makes the host tells what is wrong with it
	for _, name := range sortedKeys(all) {
		if _, needed := required[name]; needed || builtins[name] != nil {
			fmt.Fprintf(a.err, "Plugin %s runs as process %d (%s): it is not verified.\n", name, all[name].Pid, pluginhost.ReattachVariable)
			continue
		}
		fmt.Fprintf(a.err, "Warning: %s names the plugin %s, which the stack does not require: it is not used.  "+
			"Use the name in required_plugins.\n", pluginhost.ReattachVariable, name)
	}
}
