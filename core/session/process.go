package session

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/pluginhost"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Process is what all stacks of one process share.
type Process struct {
	Version  string
	Builtins map[string]Builtin // the plugins that are part of the executable, by name
	Self     string             // the path of the executable: it serves the built-in plugins, each in a process of its own
	CacheDir string
	Environ  []string // "NAME=value"
}

// Builtin is a plugin that is part of the executable.
type Builtin struct {
	Describe func() *pluginv1.DescribeResponse // without starting it
	Env      []string                          // names of the variables that it may see, besides the neutral ones
}

// getenv returns a variable of the environment.
func (p *Process) getenv(name string) string {
	for _, variable := range slices.Backward(p.Environ) {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			return v
		}
	}
	return ""
}

// Options says which stack is opened, and how.
type Options struct {
	Dir            string     // of the stack, absolute
	Vars, VarFiles []string   // "name=value"; files, relative to Dir
	Reviewed       *plan.Plan // a saved plan that is carried out: it has the values of variables
	Unset          bool       // variables may be without a value
	NoState        bool       // the state is not opened: who only checks a stack needs no right to it
	Guard          bool       // children of plugins end with a process that is killed: for those who apply
	Parallel       int
	Emit           event.Sink // nil: nobody listens
	Run            string     // in every event; "": each plan and each apply has an id of its own
	// Started is called with the plugins that the stack requires, before the first of them is started. Nil: nobody wants to know.
	Started func(required map[string]*config.RequiredPlugin)
	// Host runs the plugins of several stacks, and is closed after the last of them; Process.NewHost makes one. Nil: the stack has a host
	// of its own.
	Host *pluginhost.Host
}

// Problem is what is wrong with a stack.
type Problem struct {
	Stack *config.Stack
	Diags hcl.Diagnostics
}

func (p *Problem) Error() string { return p.Diags.Error() }
