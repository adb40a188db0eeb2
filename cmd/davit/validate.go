package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) validateCmd() *cobra.Command {
	var f stackFlags
	cmd := &cobra.Command{
		Use: "validate", Short: "Check the stack without looking at the world", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.open(a.soft, &f, nil)
			if err != nil {
				return err
			}
			defer s.close()
			if err := a.show(s.stack, s.engine.Validate(a.soft)); err != nil {
				return err
			}
			fmt.Fprintln(a.out, "The stack is valid.")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
