package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/internal/text"
)

// The exit codes, as Terraform's with -detailed-exitcode.
const (
	exitOK          = 0
	exitError       = 1
	exitChanges     = 2
	exitInterrupted = 130 // at a question, as shells report it: nothing was changed
)

// app is what all verbs share.
type app struct {
	in       io.Reader
	out, err io.Writer
	dir      string
	noColor  bool
	input    bool // questions may be asked
	// compactWarnings prints warnings without their details.
	compactWarnings bool
	// collect takes diagnostics instead of standard error, with the files that they are about.
	collect *hcl.Diagnostics
	files   map[string]*hcl.File
	code    int
	// asking is set while a question waits for its answer: an interrupt then ends the command.
	asking atomic.Bool
	// soft ends on the first interrupt: start nothing new. hard ends on the second.
	soft, hard context.Context
}

// errShown ends a command whose errors have been printed already.
var errShown = errors.New("")

func run(args []string, in io.Reader, out, errw io.Writer) int {
	a := &app{in: in, out: out, err: errw}
	var stop func()
	a.soft, a.hard, stop = interrupts(errw, &a.asking)
	defer stop()
	root := newRoot(a)
	root.SetArgs(twoDashes(args))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	if err := root.ExecuteContext(a.hard); err != nil {
		if !errors.Is(err, errShown) {
			fmt.Fprintf(errw, "Error: %s\n", text.CleanLines(err.Error()))
			var hinted interface{ HintText() string }
			if errors.As(err, &hinted) && hinted.HintText() != "" {
				fmt.Fprintf(errw, "\n%s\n", text.CleanLines(hinted.HintText()))
			}
		}
		if a.code == exitOK {
			a.code = exitError
		}
	}
	return a.code
}

// newRoot makes the command with all of its verbs.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "davit",
		Short: "Plan and apply continuous delivery, from commit to pod",
		Long: "davit plans the whole chain from a Git commit to a running pod, shows it before it happens,\n" +
			"and applies exactly what was reviewed.",
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.enter() },
	}
	root.PersistentFlags().StringVar(&a.dir, "chdir", "", "run in this `folder`")
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", false, "print without colour")
	root.PersistentFlags().BoolVar(&a.input, "input", true, "ask questions; with -input=false a question is an error")
	root.PersistentFlags().BoolVar(&a.compactWarnings, "compact-warnings", false, "print warnings without their details")
	root.AddCommand(a.initCmd(), a.validateCmd(), a.fmtCmd(), a.planCmd(), a.applyCmd(), a.destroyCmd(), a.refreshCmd(), a.importCmd(), a.whyCmd(), a.historyCmd(), a.outputCmd(), a.graphCmd(), a.consoleCmd(), a.rollbackCmd(), a.releaseCmd(), a.showCmd(), a.serveCmd(), a.statusCmd(), a.syncCmd(), a.approveCmd(), a.rejectCmd(),
		a.suspendCmd("suspend", "Make a stack of davit serve apply only what persons order", "Suspend holds when the server restarts. The stack is still looked at, so that its status stays right.\n\n  davit suspend shop"),
		a.suspendCmd("resume", "End a suspension", "Resume ends what davit suspend has begun; what has waited is applied.\n\n  davit resume shop"), a.logsCmd(),

		a.stateCmd(), a.schemaCmd(), a.versionCmd(), a.pluginCmd(), a.registryCmd(), a.moduleCmd(), a.forceUnlockCmd())
	root.Version = version
	root.SetVersionTemplate(versionLine())
	root.SetHelpCommand(helpCmd(root))
	for _, cmd := range root.Commands() {
		group(cmd)
	}
	return root
}

// group makes a command that only has others below it refuse names that it does not know.
func group(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		group(sub)
	}
	if !cmd.HasSubCommands() || cmd.Runnable() {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
}

// unknownCommand says that cmd has no such command, and which one may be meant.
func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return fmt.Errorf("%q has no command %q.%s To list the commands: %s -help", cmd.CommandPath(), name, diag.DidYouMean(name, names), cmd.CommandPath())
}

// helpCmd prints the help of a command that is named.
func helpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Print the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			at := root
			for _, name := range args {
				next, _, err := at.Find([]string{name})
				if err != nil || next == at {
					return unknownCommand(at, name)
				}
				at = next
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

func (a *app) enter() error {
	if a.dir == "" {
		return nil
	}
	if err := os.Chdir(a.dir); err != nil {
		return fmt.Errorf("-chdir: %w", err)
	}
	return nil
}

// twoDashes writes Terraform's -flag as --flag. What follows "--" is left alone.
func twoDashes(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' && !strings.ContainsAny(arg[1:2], "0123456789.") {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// interrupts returns a context that ends on the first interrupt and one that ends on the second.
func interrupts(w io.Writer, asking *atomic.Bool) (soft, hard context.Context, stop func()) {
	soft, cancelSoft := context.WithCancel(context.Background())
	hard, cancelHard := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-c:
			}
			if n == 0 {
				if !asking.Load() {
					fmt.Fprintln(w, "Interrupted: nothing new is started, running work may finish. Interrupt again to stop now.")
				}
				cancelSoft()
				continue
			}
			fmt.Fprintln(w, "Stopping now. The next run finds and continues unfinished operations.")
			cancelHard()
			return
		}
	}()
	return soft, hard, func() {
		signal.Stop(c)
		close(done)
		cancelSoft()
		cancelHard()
	}
}

// color tells whether a writer gets colour.
func (a *app) color(w io.Writer) bool {
	return !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

// isTerminal tells whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	return isFile && isatty.IsTerminal(f.Fd())
}
