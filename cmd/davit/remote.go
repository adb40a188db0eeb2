package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/server/client"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/core/view/live"
	"github.com/davit-sh/davit/internal/text"
)

// remoteFlags say which davit serve a verb calls.
type remoteFlags struct {
	server, tokenFile string
	asJSON            bool
}

func (f *remoteFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.server, "server", "", "`address` of davit serve: unix:PATH or https://HOST (default: DAVIT_SERVER, or the socket of the stack in this folder)")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`file` with the token of the caller (default: the variable DAVIT_TOKEN)")
}

// client returns a client of the server that is meant.
func (f *remoteFlags) client() (*client.Client, error) {
	address := f.server
	if address == "" {
		address = os.Getenv("DAVIT_SERVER")
	}
	if address == "" {
		if _, err := os.Stat(socketName); err != nil {
			return nil, errors.New("no server: davit serve does not run for the stack in this folder. Name a server with -server or DAVIT_SERVER")
		}
		address = "unix:" + socketName
		if dir, err := filepath.Abs(socketName); err == nil {
			address = "unix:" + dir
		}
	}
	token := os.Getenv("DAVIT_TOKEN")
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("-token-file: %w", err)
		}
		token = strings.TrimSpace(string(b))
	}
	return client.New(address, token, whoami())
}

// stackOf returns the name of the stack that is meant: the one that is named, or the only one.
func stackOf(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	list, err := c.Stacks(ctx)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		names := make([]string, len(list))
		for i := range list {
			names[i] = list[i].Name
		}
		return "", fmt.Errorf("the server has %d stacks: name one of %s", len(list), strings.Join(names, ", "))
	}
	return list[0].Name, nil
}

func (a *app) statusCmd() *cobra.Command {
	var f remoteFlags
	cmd := &cobra.Command{
		Use: "status [STACK [ADDRESS]]", Short: "Show what davit serve knows of its stacks",
		Long: "Status lists the stacks of a server. With a stack it shows its instances: health, revision, the last look and the last change, what waits\n" +
			"and for what. With an address as well it shows everything about this instance.\n\n" +
			"  davit status\n  davit status shop 'application.kubernetes.shop[\"prod\"]'",
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				list, err := c.Stacks(a.soft)
				if err != nil {
					return err
				}
				if f.asJSON {
					return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "stacks": list})
				}
				if len(list) != 1 {
					live.Stacks(a.out, list, time.Now())
					return nil
				}
				args = []string{list[0].Name}
			}
			s, err := c.Stack(a.soft, args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if f.asJSON {
					return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "stack": s})
				}
				live.Stack(a.out, s, time.Now())
				return nil
			}
			for i := range s.Instances {
				if in := &s.Instances[i]; in.Address == args[1] {
					if f.asJSON {
						return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "instance": in})
					}
					live.Instance(a.out, in, time.Now())
					return nil
				}
			}
			return fmt.Errorf("the stack %s has no instance %s", s.Name, args[1])
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

// orderFlags say whether an order is waited for.
type orderFlags struct {
	remoteFlags
	stack   string // of verbs that also work on files
	wait    bool
	timeout time.Duration
}

func (f *orderFlags) add(cmd *cobra.Command) {
	f.remoteFlags.add(cmd)
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until exactly this order is done")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 10*time.Minute, "how long to wait")
}

// follow says that an order was given, and waits for it if that was asked for.
func (a *app) follow(f *orderFlags, c *client.Client, stack string, o *status.Order) error {
	if !f.wait {
		fmt.Fprintf(a.out, "%s: %s was ordered, token %s.\n", stack, o.Verb, o.Token)
		return nil
	}
	ctx, cancel := context.WithTimeout(a.soft, f.timeout)
	defer cancel()
	done, err := c.Wait(ctx, stack, o.Token)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %s did not end within %s; it goes on. See davit status %s", stack, o.Verb, f.timeout, stack)
	case err != nil:
		return err
	case done.State == status.OrderFailed:
		return fmt.Errorf("%s: %s failed: %s", stack, o.Verb, text.CleanLines(done.Message))
	case done.Message != "":
		fmt.Fprintf(a.out, "%s: %s is done. %s.\n", stack, o.Verb, text.Clean(done.Message))
	default:
		fmt.Fprintf(a.out, "%s: %s is done. Everything is as it should be.\n", stack, o.Verb)
	}
	return nil
}

// stackAddress tells whether a verb that also works on files is meant for a server, and for which stack ("": the only one) and instance.
func (f *orderFlags) stackAddress(args []string) (stack, address string, is bool) {
	return f.stack, args[0], f.server != "" || os.Getenv("DAVIT_SERVER") != ""
}

// ordered gives an order to a server.
func (a *app) ordered(f *orderFlags, stack string, order func(c *client.Client, stack string) (*status.Order, error)) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	if stack == "" {
		if stack, err = stackOf(a.soft, c, nil); err != nil {
			return err
		}
	}
	o, err := order(c, stack)
	if err != nil {
		return err
	}
	return a.follow(f, c, stack, o)
}

// addStack adds the flags of a verb that also works on files.
func (f *orderFlags) addStack(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().StringVar(&f.stack, "stack", "", "the `name` of the stack on the server (default: the only one)")
}

func (a *app) syncCmd() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use: "sync [STACK [ADDRESS]]", Short: "Make davit serve look at a stack or an instance now, and apply what may go",
		Long: "Sync does not wait for back-off, and mends what was no longer mended. Gates hold. With -wait it returns when exactly this order is done.\n\n" +
			"  davit sync shop -wait",
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			stack, err := stackOf(a.soft, c, args)
			if err != nil {
				return err
			}
			address := ""
			if len(args) == 2 {
				address = args[1]
			}
			o, err := c.Sync(a.soft, stack, address)
			if err != nil {
				return err
			}
			return a.follow(&f, c, stack, o)
		},
	}
	f.add(cmd)
	return cmd
}

// verdictCmd is approve or reject.
func (a *app) verdictCmd(verdict, short, long string) *cobra.Command {
	var f orderFlags
	var digest string
	cmd := &cobra.Command{
		Use: verdict + " STACK [ADDRESS]", Short: short, Long: long, Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			s, err := c.Stack(a.soft, args[0])
			if err != nil {
				return err
			}
			chosen := map[string]string{} // address -> digest
			if len(args) == 2 {
				chosen[args[1]] = digest
			} else {
				for i := range s.Instances {
					if in := &s.Instances[i]; in.Wait != nil && in.Wait.NeedsPerson() {
						chosen[in.Address] = in.Wait.Digest // what was seen is decided about
					}
				}
				if len(chosen) == 0 {
					return fmt.Errorf("nothing of the stack %s waits for a person", args[0])
				}
				if digest != "" {
					return errors.New("-digest needs an address")
				}
			}
			var errs []error
			for _, address := range sortedKeys(chosen) {
				o, err := c.Decide(a.soft, verdict, args[0], address, chosen[address])
				if err == nil {
					err = a.follow(&f, c, args[0], o)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&digest, "digest", "", "the `digest` of the change that is meant, as davit status shows it: another change is refused")
	return cmd
}

func (a *app) approveCmd() *cobra.Command {
	return a.verdictCmd("approve", "Let a change that waits in davit serve go",
		"Approve lets exactly the change go that waits: when it becomes another one the approval is void. Without an address it approves all changes of\n"+
			"the stack that wait for a person.\n\n  davit approve shop 'application.kubernetes.shop[\"prod\"]' -wait")
}

func (a *app) rejectCmd() *cobra.Command {
	return a.verdictCmd("reject", "Keep a change that waits in davit serve from going",
		"Reject keeps exactly the change that waits from going, until it becomes another one or somebody approves it.\n\n  davit reject shop application.kubernetes.api")
}

// suspendCmd is suspend or resume.
func (a *app) suspendCmd(verb, short, long string) *cobra.Command {
	var f remoteFlags
	cmd := &cobra.Command{
		Use: verb + " [STACK]", Short: short, Long: long, Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			stack, err := stackOf(a.soft, c, args)
			if err != nil {
				return err
			}
			if err := c.Suspend(a.soft, verb, stack); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s.\n", stack, map[string]string{"suspend": "suspended. It goes on looking, and applies only what davit sync orders", "resume": "resumed"}[verb])
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) logsCmd() *cobra.Command {
	var f remoteFlags
	var forever bool
	cmd := &cobra.Command{
		Use: "logs -f [STACK]", Short: "Show what happens in davit serve, as it happens",
		Long: "Logs prints operations, their lines and their results while they happen. The server keeps none of it.\n\n  davit logs -f shop",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !forever {
				return errors.New("logs are not kept: use davit logs -f to see what happens from now on, and davit history for what was done")
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			stack := ""
			if len(args) > 0 {
				stack = args[0]
			}
			print := view.Progress(a.out, view.Options{Color: a.color(a.out), Verbose: true})
			err = c.Listen(a.soft, stack, func(e reconcile.Event) {
				if f.asJSON {
					_ = json.NewEncoder(a.out).Encode(e) // the reader has gone
					return
				}
				if !e.Status && e.Type != event.Summary {
					print(e.Event)
				}
			})
			if a.soft.Err() != nil {
				return nil
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&forever, "follow", "f", false, "go on until interrupted")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print events as lines of JSON")
	return cmd
}
