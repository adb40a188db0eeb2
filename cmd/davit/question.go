package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// errInterrupted ends a command that was interrupted while it waited for an answer.
var errInterrupted = errors.New("interrupted before the question was answered; nothing was changed")

var errNoInput = errors.New("cannot ask for approval with -input=false. Use -auto-approve or a saved plan")

var errNoTerminal = errors.New("cannot ask for approval: input is not a terminal. Use -auto-approve or a saved plan")

// confirm asks whether to do something ("Do you want to apply this?") and returns nil if the answer is "yes". All questions
// of davit are asked here. The first interrupt ends the wait with errInterrupted and exit code 130, so that the caller
// releases its lock and returns.
func (a *app) confirm(question string) error {
	if !a.input {
		return errNoInput
	}
	terminal, answers := a.answers()
	if !answers {
		return errNoTerminal
	}
	a.asking.Store(true)
	defer a.asking.Store(false)
	if a.soft.Err() == nil {
		fmt.Fprintf(a.out, "\n%s Only \"yes\" is accepted: ", question)
	}
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() { // a read of a terminal cannot be cancelled: it ends with the process
		line, err := bufio.NewReader(a.in).ReadString('\n')
		replies <- reply{line, err}
	}()
	select {
	case <-a.soft.Done():
		fmt.Fprintln(a.out)
		a.code = exitInterrupted
		return errInterrupted
	case r := <-replies:
		switch {
		case strings.TrimSpace(r.line) == "yes":
			return nil
		case r.err != nil && !terminal && r.line == "":
			fmt.Fprintln(a.out)
			return errNoTerminal
		case r.err != nil:
			fmt.Fprintln(a.out)
			return errors.New("not approved: input ended without an answer; nothing was changed")
		}
		return errors.New("not approved; nothing was changed")
	}
}

// answers tells whether standard input is a terminal, and whether it can give answers: a pipe can as well.
func (a *app) answers() (terminal, can bool) {
	f, isFile := a.in.(*os.File)
	if !isFile {
		return false, true
	}
	terminal = isatty.IsTerminal(f.Fd())
	return terminal, terminal || isPipe(f)
}

func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
