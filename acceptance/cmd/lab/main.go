// Command lab runs the acceptance lab outside of a test.
//
//	lab build   builds all servers and base images into the cache
//	lab up      starts everything, prints export lines, and stays until Ctrl-C
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/davit-sh/davit/acceptance/lab"
)

const usage = `usage: lab build   build all servers and base images into the cache
       lab up      start everything, print export lines, stay until Ctrl-C`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New(usage)
	}
	switch args[0] {
	case "build":
		return lab.Build(ctx, os.Stderr)
	case "up":
		return up(ctx, out)
	}
	return errors.New(usage)
}

func up(ctx context.Context, out io.Writer) error {
	l, err := lab.Start(ctx, lab.Options{
		Registry: true, AuthRegistry: true, Gitea: true, BuildKit: true, Kubernetes: true, BaseImages: true, S3: true,
	})
	if err != nil {
		return err
	}
	for _, line := range l.Env() {
		name, value, _ := strings.Cut(line, "=")
		if _, err := fmt.Fprintf(out, "export %s=%s\n", name, quote(value)); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	fmt.Fprintf(os.Stderr, "lab: everything runs; files and logs are in %s; Ctrl-C ends it\n", l.Dir)
	<-ctx.Done()
	return l.Close()
}

// quote makes a word for a POSIX shell.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
