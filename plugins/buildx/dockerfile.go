package buildx

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/davit-sh/davit/sdk"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// bases lists the images that a Dockerfile builds on or copies from, as it means them with the build's arguments.
func bases(text []byte, c Config) ([]string, error) {
	fail := func(err error) error {
		return &sdk.Error{Summary: "the Dockerfile cannot be read", Path: sdk.At("dockerfile"), Code: "buildx.dockerfile", Err: err}
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fail(err)
	}
	stages, global, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, fail(err)
	}
	d := dockerfile{lex: shell.NewLex(parsed.EscapeToken), stages: stages, env: arguments(c)}
	if err := d.defaults(global); err != nil {
		return nil, fail(err)
	}
	for i, s := range stages {
		if err := d.stage(i, s); err != nil {
			return nil, fail(err)
		}
	}
	slices.Sort(d.found)
	return slices.Compact(d.found), nil
}

type dockerfile struct {
	lex    *shell.Lex
	stages []instructions.Stage
	env    []string
	found  []string
}

// arguments are the build arguments and those that are always there.
func arguments(c Config) []string {
	env := []string{}
	for name, value := range c.Args {
		env = append(env, name+"="+value)
	}
	return env
}

// defaults adds the global arguments that the build does not set.
func (d *dockerfile) defaults(global []instructions.ArgCommand) error {
	given := map[string]bool{}
	for _, e := range d.env {
		name, _, _ := strings.Cut(e, "=")
		given[name] = true
	}
	for _, cmd := range global {
		for _, arg := range cmd.Args {
			if arg.Value == nil || given[arg.Key] {
				continue
			}
			value, err := d.expand(*arg.Value)
			if err != nil {
				return err
			}
			d.env = append(d.env, arg.Key+"="+value)
		}
	}
	return nil
}

func (d *dockerfile) expand(word string) (string, error) {
	out, _, err := d.lex.ProcessWord(word, shell.EnvsFromSlice(d.env))
	return out, err
}

func (d *dockerfile) stage(i int, s instructions.Stage) error {
	base, err := d.expand(s.BaseName)
	if err != nil {
		return err
	}
	if base == "" {
		return fmt.Errorf("FROM %s is empty with these build arguments", s.BaseName)
	}
	d.add(base, i)
	for _, cmd := range s.Commands {
		switch cmd := cmd.(type) {
		case *instructions.CopyCommand:
			d.add(cmd.From, i)
		case *instructions.RunCommand:
			for _, m := range instructions.GetMounts(cmd) {
				d.add(m.From, i)
			}
		}
	}
	return nil
}

// add notes an image, unless the name is that of an earlier stage, of nothing, or a variable that a stage sets.
func (d *dockerfile) add(name string, stage int) {
	if name == "" || name == "scratch" || strings.Contains(name, "$") {
		return
	}
	if n, err := strconv.Atoi(name); err == nil && n < stage {
		return
	}
	for _, s := range d.stages[:stage] {
		if strings.EqualFold(s.Name, name) {
			return
		}
	}
	d.found = append(d.found, name)
}
