package main

import (
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/sdk/trim"
)

type serveFlags struct {
	stacks, vars, varFiles []string
	interval, grace        time.Duration
	parallel               int
	verbose                bool
}

func (a *app) serveCmd() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve -stack FOLDER", Short: "Keep stacks reconciled: plan and apply them whenever something changes",
		Long: "Serve holds the lock on the state of each stack, plans and applies at the start, at every interval and whenever a trigger says that something\n" +
			"is new. It reads the stack's files again when they change; files with an error do not run: the last good ones go on. SIGTERM ends it: running\n" +
			"operations may finish, and what is unfinished is found again by the next run.\n\n" +
			"  davit serve -stack clusters/home -interval 1m",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.serve(&f) },
	}
	cmd.Flags().StringArrayVar(&f.stacks, "stack", nil, "a stack's `folder`; may be given several times")
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "value of a variable in all stacks, as `name=value`")
	cmd.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "`file` with values of variables, relative to each stack")
	cmd.Flags().DurationVar(&f.interval, "interval", time.Minute, "how often everything is looked at that nothing watches")
	cmd.Flags().DurationVar(&f.grace, "grace", 20*time.Second, "how long running operations may go on after SIGTERM before they are cancelled")
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "the number of operations of one stack at the same time (10)")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "log each reconcile, those without changes as well")
	return cmd
}

func (a *app) serve(f *serveFlags) error {
	trim.Startup()
	if len(f.stacks) == 0 {
		return errors.New("no stack: name at least one folder with -stack")
	}
	if f.interval < time.Second {
		return errors.New("-interval must be at least 1s")
	}
	process, err := a.process()
	if err != nil {
		return err
	}
	folders, err := reconcile.NewFolders(f.stacks, f.vars, f.varFiles)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
	go folders.Run(a.soft, time.Second)
	log.Info("davit serves", "version", version, "stacks", len(f.stacks))
	defer log.Info("davit has ended")
	return reconcile.New(reconcile.Options{
		Stacks: folders, Process: process, Interval: f.interval, Parallel: f.parallel, Grace: f.grace, Who: whoami(), Log: log,
	}).Run(a.soft, a.hard)
}
