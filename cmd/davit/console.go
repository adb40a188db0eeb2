package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/core/view"
)

// errConsoleInterrupted ends a console that was interrupted while it waited for a line.
var errConsoleInterrupted = errors.New("the console was interrupted")

func (a *app) consoleCmd() *cobra.Command {
	var f stackFlags
	var fresh bool
	cmd := &cobra.Command{
		Use: "console", Short: "Evaluate expressions",
		Long: "Console evaluates expressions, one on each line, with the stack's variables, locals and functions, and the outputs of its blocks in state;\n" +
			"-plan makes a plan first and uses its values. Console changes nothing and takes no lock.\n\n" +
			"  echo 'policy.semver.api.tag' | davit console",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.open(a.soft, &f, nil)
			if err != nil {
				return err
			}
			defer s.Close()
			c, err := a.console(a.soft, s, fresh)
			if err != nil {
				return err
			}
			return a.converse(c)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&fresh, "plan", false, "use the values of a new plan instead of the state's")
	return cmd
}

func (a *app) console(ctx context.Context, s *session.Session, fresh bool) (*engine.Console, error) {
	snapshot, err := s.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	c, diags := s.Engine.Console(ctx, snapshot, fresh)
	if diags.HasErrors() {
		return nil, a.show(s.Stack, diags)
	}
	return c, nil
}

// converse reads expressions and prints their values. A wrong one ends it, unless a person is there to correct it.
func (a *app) converse(c *engine.Console) error {
	read, end, person := a.lines()
	next := func(more bool) (string, error) { return a.unlessStopped(func() (string, error) { return read(more) }) }
	defer end()
	pending := ""
	for {
		line, err := next(pending != "")
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		text := strings.TrimSpace(pending + line)
		switch {
		case text == "exit" || (text == "" && err != nil):
			return nil
		case text == "":
			continue
		case err == nil && engine.Unfinished(text):
			pending = text + "\n"
			continue
		}
		pending = ""
		value, diags := c.Eval(text)
		if a.soft.Err() != nil {
			person = false // the expression was interrupted, and so is the console
		}
		if diags.HasErrors() {
			if shown := a.showSource("expression", text, diags); !person {
				return shown
			}
			continue
		}
		fmt.Fprintln(a.out, view.Cty(value))
		if err != nil {
			return nil
		}
	}
}

// unlessStopped runs a read of standard input, which cannot be cancelled. It returns an error when the run is stopped first.
func (a *app) unlessStopped(read func() (string, error)) (string, error) {
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		line, err := read()
		replies <- reply{line, err}
	}()
	select {
	case <-a.soft.Done():
		a.code = exitInterrupted
		return "", errConsoleInterrupted
	case r := <-replies:
		return r.line, r.err
	}
}

// lines reads lines of a terminal, with editing and history, or of a pipe.
func (a *app) lines() (next func(more bool) (string, error), end func(), person bool) {
	f, ok := a.in.(*os.File)
	if ok && isatty.IsTerminal(f.Fd()) {
		if before, err := term.MakeRaw(int(f.Fd())); err == nil { //nolint:gosec // a file descriptor is a small number
			t := term.NewTerminal(struct {
				io.Reader
				io.Writer
			}{f, a.out}, "> ")
			a.out, a.err = t, t
			return func(more bool) (string, error) {
				t.SetPrompt(map[bool]string{false: "> ", true: ". "}[more])
				return t.ReadLine()
			}, func() { _ = term.Restore(int(f.Fd()), before) }, true //nolint:gosec // as above
		}
	}
	r := bufio.NewReader(a.in)
	return func(bool) (string, error) { return r.ReadString('\n') }, func() {}, false
}
