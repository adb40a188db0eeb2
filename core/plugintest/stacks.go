package plugintest

import (
	"context"
	"path/filepath"

	"github.com/davit-sh/davit/core/pluginhost"
)

// manyStacks configures a plugin that says many_stacks for two stacks in one process, closes one, and asks for the other.
func (s *suite) manyStacks(ctx context.Context) outcome {
	const mend = "A plugin with many_stacks accepts a Configure for each stack, uses the stack of the ID in the request, and keeps the other stacks when one is closed. " +
		"Otherwise, do not set many_stacks."
	if !s.started.GetManyStacks() {
		return skip("the plugin serves one stack in each process")
	}
	h := s.rig.newHost()
	defer h.Close() //nolint:errcheck // it has no more to say
	var clients [2]*pluginhost.Client
	var stacks [2]*pluginhost.Stack
	for i, stack := range []string{"one", "two"} {
		stacks[i] = h.Open(pluginhost.StackOptions{
			Dir: filepath.Join(s.folder, stack), Name: stack, Plugins: map[string]pluginhost.Executable{name: s.options.Executable},
		})
		var err error
		if clients[i], err = stacks[i].Client(ctx, name); err != nil {
			return fail(mend, "the stack %s: %v", stack, err)
		}
	}
	if a, b := clients[0].Reattach().Pid, clients[1].Reattach().Pid; a != b {
		return fail(mend, "two stacks run in the processes %d and %d", a, b)
	}
	_ = stacks[0].Close()
	if how, ended := clients[1].Ended(); ended {
		return fail(mend, "it ended when the first stack was closed (%s)", how)
	}
	if err := clients[1].Cancel(ctx); err != nil {
		return fail(mend, "after one stack was closed, Cancel for the other one: %v", err)
	}
	return pass()
}
