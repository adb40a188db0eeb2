package buildx

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/davit-sh/davit/sdk"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

const scratch = "scratch"

// bases lists the images that a build starts from or copies from, on any of its platforms, as people write
// them with a tag ("python:3.11"), sorted. Stages that the target does not need do not count.
func bases(text []byte, c Config) ([]string, error) {
	d, err := readDockerfile(text)
	if err != nil {
		return nil, dockerfileError(err, "dockerfile")
	}
	target, err := d.target(c.Target)
	if err != nil {
		return nil, dockerfileError(err, "target")
	}
	found := map[string]bool{}
	for _, platform := range c.platforms() {
		images, err := d.images(target, platform, c.buildArgs())
		if err != nil {
			return nil, dockerfileError(err, "dockerfile")
		}
		maps.Copy(found, images)
		// Plans and records name base images, and they never hold a secret.
		public, err := d.images(target, platform, c.Args)
		if err != nil || !maps.Equal(public, images) {
			return nil, &sdk.Error{Summary: "the name of a base image depends on a sensitive build argument", Path: sdk.At("sensitive_args"), Code: "buildx.sensitive_base",
				Hint: "plans show the names of base images: use args for them"}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func dockerfileError(err error, attribute string) error {
	return &sdk.Error{Summary: "the Dockerfile cannot be used", Path: sdk.At(attribute), Code: "buildx.dockerfile", Err: err}
}

// dockerfile is a Dockerfile as BuildKit reads it.
type dockerfile struct {
	lex    *shell.Lex
	stages []instructions.Stage
	global []instructions.ArgCommand // ARG before the first FROM
}

func readDockerfile(text []byte) (*dockerfile, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, global, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		return nil, errors.New("it has no FROM instruction")
	}
	return &dockerfile{lex: shell.NewLex(parsed.EscapeToken), stages: stages, global: global}, nil
}

// target finds a stage by its name or number; the last one if neither is given.
func (d *dockerfile) target(name string) (int, error) {
	if name == "" {
		return len(d.stages) - 1, nil
	}
	if i, ok := d.named(name, len(d.stages)); ok {
		return i, nil
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(d.stages) {
		return i, nil
	}
	var names []string
	for _, s := range d.stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return 0, fmt.Errorf("stage %q does not exist: no stage has a name", name)
	}
	return 0, fmt.Errorf("stage %q does not exist; the stages are: %s", name, strings.Join(names, ", "))
}

// named finds the last stage of a name among the first n.
func (d *dockerfile) named(name string, n int) (int, bool) {
	for i := n - 1; i >= 0; i-- {
		if d.stages[i].Name != "" && strings.EqualFold(d.stages[i].Name, name) {
			return i, true
		}
	}
	return 0, false
}

// images are the images that a stage needs on a platform.
func (d *dockerfile) images(target int, platform string, args map[string]string) (map[string]bool, error) {
	env, err := d.environment(platform, args, d.stages[target].Name)
	if err != nil {
		return nil, err
	}
	w := walk{dockerfile: d, env: env, seen: map[int]bool{}, found: map[string]bool{}}
	return w.found, w.stage(target)
}

// environment is what FROM can name: the platform and the global arguments. The platform of the machine that builds is not known yet.
func (d *dockerfile) environment(platform string, args map[string]string, target string) (environment, error) {
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, err
	}
	if target == "" {
		target = "default"
	}
	env := environment{
		"TARGETPLATFORM": platforms.FormatAll(p), "TARGETOS": p.OS, "TARGETOSVERSION": p.OSVersion,
		"TARGETARCH": p.Architecture, "TARGETVARIANT": p.Variant, "TARGETSTAGE": target,
	}
	for name := range env {
		if v, ok := args[name]; ok {
			env[name] = v
		}
	}
	for _, cmd := range d.global {
		for _, arg := range cmd.Args {
			value, given := args[arg.Key]
			if !given {
				if arg.Value == nil {
					continue
				}
				if value, _, err = d.expand(*arg.Value, env); err != nil {
					return nil, at(err, cmd.Location())
				}
			}
			env[arg.Key] = value
		}
	}
	return env, nil
}

// longestWord is how long an expanded word may be. Arguments that double each other would fill the memory.
const longestWord = 4096

func (d *dockerfile) expand(word string, env environment) (expanded string, unset map[string]struct{}, err error) {
	expanded, unset, err = d.lex.ProcessWord(word, env)
	if err == nil && len(expanded) > longestWord {
		err = fmt.Errorf("it expands to more than %d characters", longestWord)
	}
	return expanded, unset, err
}

// environment implements shell.EnvGetter.
type environment map[string]string

// Get implements shell.EnvGetter.
func (e environment) Get(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

// Keys implements shell.EnvGetter.
func (e environment) Keys() []string { return slices.Collect(maps.Keys(e)) }

// walk goes from a stage to all that it needs.
type walk struct {
	*dockerfile
	env   environment
	seen  map[int]bool
	found map[string]bool
}

func (w *walk) stage(i int) error {
	if w.seen[i] {
		return nil
	}
	w.seen[i] = true
	s := w.stages[i]
	if err := w.from(s.BaseName, i); err != nil {
		return at(err, s.Location)
	}
	for _, cmd := range s.Commands {
		for _, from := range sources(cmd) {
			if err := w.source(from); err != nil {
				return at(err, cmd.Location())
			}
		}
	}
	return nil
}

// from follows a FROM, which can name stages before it only.
func (w *walk) from(word string, i int) error {
	base, unset, err := w.expand(word, w.env)
	if err != nil {
		return err
	}
	for name := range unset {
		if strings.HasPrefix(name, "BUILD") {
			return fmt.Errorf("FROM %s depends on the building machine (%s), so its image is not known before the build", word, name)
		}
	}
	if base == "" {
		return fmt.Errorf("FROM %s is empty with these build arguments", word)
	}
	if j, ok := w.named(base, i); ok {
		return w.stage(j)
	}
	return w.image(base)
}

// sources are the stages and images that a command takes files from.
func sources(cmd instructions.Command) []string {
	var from []string
	switch cmd := cmd.(type) {
	case *instructions.CopyCommand:
		if i, err := strconv.Atoi(cmd.From); err == nil {
			return []string{"#" + strconv.Itoa(i)} // a stage by its number
		}
		from = append(from, cmd.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(cmd) {
			from = append(from, m.From)
		}
	}
	return from
}

// source follows --from, which can name any stage or an image.
func (w *walk) source(from string) error {
	if from == "" {
		return nil
	}
	if number, ok := strings.CutPrefix(from, "#"); ok {
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(w.stages) {
			return fmt.Errorf("stage number %s does not exist", number)
		}
		return w.stage(i)
	}
	if i, ok := w.named(from, len(w.stages)); ok {
		return w.stage(i)
	}
	return w.image(from)
}

func (w *walk) image(name string) error {
	if name == scratch {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return fmt.Errorf("%q is not the name of an image: %w", name, err)
	}
	w.found[reference.FamiliarString(reference.TagNameOnly(named))] = true
	return nil
}

// at says on which line it is.
func at(err error, where []parser.Range) error {
	if len(where) == 0 || strings.HasPrefix(err.Error(), "line ") {
		return err
	}
	return fmt.Errorf("line %d: %w", where[0].Start.Line, err)
}
