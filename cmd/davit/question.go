package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
)

// errInterrupted ends a command that was interrupted while it waited for an answer.
var errInterrupted = errors.New("interrupted before the question was answered; nothing was changed")

var errNoInput = errors.New("cannot ask for approval with -input=false. Use -auto-approve or a saved plan")

var errNoTerminal = errors.New("cannot ask for approval: input is not a terminal. Use -auto-approve or a saved plan")

// The answers that are accepted.
const (
	yes     = "yes"
	approve = "approve" // yes, and what waits at a gate as well
)

// confirm asks whether to do something ("Do you want to apply this?") and returns nil if the answer is "yes".
func (a *app) confirm(question string) error {
	_, err := a.answer(question+" Only \"yes\" is accepted:", yes)
	return err
}

// answer asks a question and returns the answer, one of those that are accepted. All questions of davit are asked here. The first interrupt
// ends the wait with errInterrupted and exit code 130, so that the caller releases its lock and returns.
func (a *app) answer(question string, accepted ...string) (string, error) {
	if !a.input {
		return "", errNoInput
	}
	terminal, answers := a.answers()
	if !answers {
		return "", errNoTerminal
	}
	a.asking.Store(true)
	defer a.asking.Store(false)
	if a.soft.Err() == nil {
		fmt.Fprintf(a.out, "\n%s ", question)
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
		return "", errInterrupted
	case r := <-replies:
		switch said := strings.TrimSpace(r.line); {
		case slices.Contains(accepted, said):
			return said, nil
		case r.err != nil && !terminal && r.line == "":
			fmt.Fprintln(a.out)
			return "", errNoTerminal
		case r.err != nil:
			fmt.Fprintln(a.out)
			return "", errors.New("not approved: input ended without an answer; nothing was changed")
		}
		return "", errors.New("not approved; nothing was changed")
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
