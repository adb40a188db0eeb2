package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

func (a *app) outputCmd() *cobra.Command {
	var asJSON, raw bool
	cmd := &cobra.Command{
		Use: "output [NAME]", Short: "Print the stack's outputs, as they were at the last apply",
		Long: "Output prints the values that the last apply wrote to state. Sensitive outputs are never written, and show as (sensitive).\n" +
			"A list on a terminal shows the beginning of long values; with a name, -json or a pipe they are whole.\n\n" +
			"  davit output\n  davit output -raw version",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if raw && (asJSON || len(args) == 0) {
				return errors.New("-raw prints one output: name it, and leave -json out")
			}
			return a.withStack(cmd.Context(), func(stack *config.Stack, _ state.Store, s *state.Snapshot) error {
				if len(args) == 0 {
					return a.outputs(stack, s, asJSON)
				}
				return a.output(stack, s, args[0], asJSON, raw)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; of one output, its bare value")
	cmd.Flags().BoolVar(&raw, "raw", false, "print a string, number or bool as it is, for scripts")
	return cmd
}

func (a *app) outputs(stack *config.Stack, s *state.Snapshot, asJSON bool) error {
	if asJSON {
		all := map[string]map[string]any{}
		for _, name := range sortedKeys(s.Outputs) {
			all[name] = map[string]any{"value": s.Outputs[name], "sensitive": false}
		}
		for name, o := range stack.Outputs {
			if o.Sensitive {
				all[name] = map[string]any{"sensitive": true}
			}
		}
		return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "outputs": all})
	}
	a.printOutputs(stack, s, "")
	return nil
}

// printOutputs prints every output of the stack, a line each. A terminal gets long values cut, a pipe gets them whole.
func (a *app) printOutputs(stack *config.Stack, s *state.Snapshot, indent string) {
	names := map[string]bool{}
	for name := range s.Outputs {
		names[name] = true
	}
	for name, o := range stack.Outputs {
		names[name] = names[name] || o.Sensitive
	}
	write := view.WholeValue
	if isTerminal(a.out) {
		write = view.Value
	}
	for _, name := range sortedKeys(names) {
		switch o := stack.Outputs[name]; {
		case o != nil && o.Sensitive:
			fmt.Fprintf(a.out, "%s%s = %s\n", indent, name, text.Sensitive)
		case names[name]:
			fmt.Fprintf(a.out, "%s%s = %s\n", indent, name, write(s.Outputs[name]))
		}
	}
}

func (a *app) output(stack *config.Stack, s *state.Snapshot, name string, asJSON, raw bool) error {
	if o := stack.Outputs[name]; o != nil && o.Sensitive {
		return fmt.Errorf("output %q is sensitive: state does not keep its value. Read it where it comes from", name)
	}
	value, ok := s.Outputs[name]
	switch {
	case !ok && stack.Outputs[name] != nil:
		return fmt.Errorf("output %q has no value yet: run davit apply", name)
	case !ok:
		return fmt.Errorf("the stack has no output %q.%s", name, diag.DidYouMean(name, append(sortedKeys(s.Outputs), sortedKeys(stack.Outputs)...)))
	case asJSON:
		return writeJSON(a.out, value)
	case !raw:
		whole := view.WholeValue(value)
		if isTerminal(a.out) {
			whole = text.Clean(whole)
		}
		fmt.Fprintln(a.out, whole)
		return nil
	}
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		fmt.Fprint(a.out, v)
	case float64, bool:
		fmt.Fprint(a.out, string(value))
	default:
		return fmt.Errorf("output %q is not a string, number or bool: print it with -json", name)
	}
	return nil
}
