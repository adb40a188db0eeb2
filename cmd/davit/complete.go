package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/state"
)

// completeAddress completes the address of something that state has, as the first argument.
func (a *app) completeAddress(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.completeFirst(func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.complete(cmd, prefix, func(_ *config.Stack, s *state.Snapshot) []string { return sortedKeys(s.Records) })
	})(cmd, args, prefix)
}

// completeFirst completes the first argument only.
func (a *app) completeFirst(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, prefix)
	}
}

// completePlace completes an instance, a block or a module that the stack or its state has.
func (a *app) completePlace(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, prefix, func(stack *config.Stack, s *state.Snapshot) []string {
		list := sortedKeys(s.Records)
		for _, n := range stack.Order {
			list = append(list, n.String())
		}
		for _, name := range stack.CallOrder {
			list = append(list, "module."+name)
		}
		slices.Sort(list)
		return slices.Compact(list)
	})
}

// completeStack completes among the names that the stack's files have.
func (a *app) completeStack(cmd *cobra.Command, prefix string, among func(*config.Stack) []string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, prefix, func(stack *config.Stack, _ *state.Snapshot) []string { return among(stack) })
}

func (a *app) complete(cmd *cobra.Command, prefix string, among func(*config.Stack, *state.Snapshot) []string) ([]string, cobra.ShellCompDirective) {
	var list []string
	_ = a.enter() // a wrong folder completes nothing
	_ = a.withStack(cmd.Context(), func(stack *config.Stack, _ state.Store, s *state.Snapshot) error {
		for _, address := range among(stack, s) {
			if strings.HasPrefix(address, prefix) {
				list = append(list, address)
			}
		}
		return nil
	})
	return list, cobra.ShellCompDirectiveNoFileComp
}
