package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davit-sh/davit/sdk"
)

// killPlugin has effects that can be counted: files and Git commits, each with the id of the operation that made it. It
// does what docs/write-a-plugin.md asks of every plugin: it finds its own work again by its name.
func killPlugin() *sdk.Plugin {
	repos := &repositories{byDir: map[string]*repository{}}
	return sdk.New("kill", "1.0.0",
		sdk.Application("file", killed{fileEffect{}}), sdk.Application("commit", killed{commitEffect{repos}}),
		sdk.Application("thing", thing{}), sdk.Application("leak", leak{}))
}

// effect is something that is done in the world, once for each name.
type effect interface {
	// look returns the id of the operation that did it; ok is false if that is still to do or to finish.
	look(c effectConfig) (operation string, ok bool, err error)
	// do does it. It is called once it is known not to be done, or not to be finished.
	do(c effectConfig, operation string) error
}

type effectConfig struct {
	Name    string `davit:"name"`
	Into    string `davit:"into" doc:"Folder of the effects."`
	Journal string `davit:"journal" doc:"File in which each step is noted, for the test only: the plugin never reads it."`
	Key     string `davit:"key,optional,sensitive"`
}

// note appends a line, all of it or nothing.
func (c effectConfig) note(step, operation string) error {
	f, err := os.OpenFile(c.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s %s\n", step, c.Name, operation)
	return errors.Join(err, f.Close())
}

type effectOutputs struct {
	sdk.ApplicationOutputs
	Operation sdk.Value[string] `davit:"operation"`
}

// killed is an application with one effect.
type killed struct{ effect }

func outputsOfEffect(c effectConfig, operation sdk.Value[string]) effectOutputs {
	o := effectOutputs{Operation: operation}
	o.Health, o.Items = sdk.Known("Current"), []string{c.Name}
	return o
}

func (k killed) Plan(_ context.Context, r sdk.PlanRequest[effectConfig, effectOutputs]) (sdk.PlanResult[effectOutputs], error) {
	if r.Destroy {
		return sdk.PlanResult[effectOutputs]{Action: sdk.ActionDelete}, nil
	}
	operation, done, err := k.look(r.Config)
	if done {
		return sdk.PlanResult[effectOutputs]{Action: sdk.ActionNone, Outputs: outputsOfEffect(r.Config, sdk.Known(operation))}, err
	}
	return sdk.PlanResult[effectOutputs]{Action: sdk.ActionCreate, Outputs: outputsOfEffect(r.Config, sdk.Unknown[string]())}, err
}

func (k killed) Apply(_ context.Context, r sdk.ApplyRequest[effectConfig, effectOutputs]) (sdk.Result[effectOutputs], error) {
	res := sdk.Result[effectOutputs]{Outputs: outputsOfEffect(r.Config, sdk.Known(r.Operation))}
	if err := r.Config.note("try", r.Operation); err != nil {
		return res, err
	}
	time.Sleep(time.Millisecond) // work takes time
	operation, done, err := k.look(r.Config)
	switch {
	case err != nil:
		return res, err
	case done:
		// It was planned as still to do: that it is done now is a repetition, even if it does no harm.
		return res, errors.Join(r.Config.note("again", r.Operation), fmt.Errorf("%s was done by operation %s already", r.Config.Name, operation))
	}
	if err := k.do(r.Config, r.Operation); err != nil {
		return res, err
	}
	return res, r.Config.note("made", r.Operation)
}

func (k killed) Destroy(context.Context, sdk.DestroyRequest[effectConfig, effectOutputs]) error {
	return errors.New("nothing is deleted here")
}

// fileEffect makes a file with the id of the operation in it. One that is still empty was cut off in the middle.
type fileEffect struct{}

func (fileEffect) look(c effectConfig) (string, bool, error) {
	b, err := os.ReadFile(filepath.Join(c.Into, c.Name))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	return string(b), len(b) > 0, err
}

func (fileEffect) do(c effectConfig, operation string) error {
	path := filepath.Join(c.Into, c.Name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		f, err = os.OpenFile(path, os.O_WRONLY, 0)
	}
	if err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // the moment in which it is half done
	_, err = f.WriteString(operation)
	return errors.Join(err, f.Close())
}

// commitEffect makes a commit on main, with the name and the id of the operation as trailers.
type commitEffect struct{ *repositories }

func (e commitEffect) look(c effectConfig) (string, bool, error) {
	r := e.at(c.Into)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(c.Name)
}

func (e commitEffect) do(c effectConfig, operation string) error {
	r := e.at(c.Into)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commit(c.Name, operation)
}

type repositories struct {
	mu    sync.Mutex
	byDir map[string]*repository
}

func (r *repositories) at(dir string) *repository {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byDir[dir] == nil {
		r.byDir[dir] = &repository{dir: dir, operations: map[string]string{}}
	}
	return r.byDir[dir]
}

// repository is a bare repository, and what its commits up to head say.
type repository struct {
	dir        string
	mu         sync.Mutex
	head       string
	operations map[string]string // by name
}

// look reads the commits that are new.
func (r *repository) look(name string) (operation string, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(r.dir, "refs", "heads", "main"))
	if head := strings.TrimSpace(string(b)); err == nil && head != r.head {
		span := head
		if r.head != "" {
			span = r.head + ".." + head
		}
		out, err := r.git("", "log", "--format=%(trailers:key=Name,valueonly,separator=) %(trailers:key=Operation,valueonly,separator=)", span)
		if err != nil {
			return "", false, err
		}
		for line := range strings.Lines(out) {
			n, op, _ := strings.Cut(strings.TrimSpace(line), " ")
			r.operations[n] = op
		}
		r.head = head
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", false, err
	}
	operation, ok = r.operations[name]
	return operation, ok, nil
}

// commit makes a commit on what is there now. A process that is killed leaves no lock behind: git's own way to move a
// branch would.
func (r *repository) commit(name, operation string) error {
	lock, err := os.OpenFile(filepath.Join(r.dir, "kill.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if by, done, err := r.look(name); err != nil || done {
		return errors.Join(err, fmt.Errorf("%s was done by operation %q meanwhile", name, by))
	}
	args := []string{"commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"} // the empty tree
	if r.head != "" {
		args = append(args, "-p", r.head)
	}
	id, err := r.git("Do "+name+"\n\nName: "+name+"\nOperation: "+operation+"\n", args...)
	if err != nil {
		return err
	}
	branch := filepath.Join(r.dir, "refs", "heads", "main")
	if err := os.WriteFile(branch+".new", []byte(id), 0o600); err != nil {
		return err
	}
	if err := os.Rename(branch+".new", branch); err != nil {
		return err
	}
	r.head, r.operations[name] = strings.TrimSpace(id), operation
	return nil
}

func (r *repository) git(input string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"--git-dir", r.dir, "-c", "user.name=Kill", "-c", "user.email=kill@example.com"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, errs.String())
	}
	return string(out), nil
}
