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

	"github.com/davit-sh/davit/sdk"
)

// thing is an application that is one file. Its name is made when it is created, so that a replaced one has another name. The file says of
// which version it is, and the names of the things that it was made from.
type thing struct{}

type thingConfig struct {
	ID      string   `davit:"id"`
	Version string   `davit:"version"`
	Deps    []string `davit:"deps"`
	Into    string   `davit:"into" doc:"Folder of the files."`
	Journal string   `davit:"journal" doc:"File in which each step is noted, for the test only: the plugin never reads it."`
}

type thingOutputs struct {
	sdk.ApplicationOutputs
	Name sdk.Value[string] `davit:"name"`
}

// content is what the file of a thing says.
func (c thingConfig) content() string { return c.Version + " " + strings.Join(c.Deps, ",") }

// thingStep is a line of the journal: what is about to be done, and what is in the folder at that moment.
type thingStep struct {
	Do, ID, Name string
	World        map[string]string // contents by name
}

// note writes a step into the journal, all of it or nothing.
func (c thingConfig) note(do, name string) error {
	s := thingStep{Do: do, ID: c.ID, Name: name}
	var err error
	if s.World, err = things(c.Into); err != nil {
		return err
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// things reads the folder of the things: contents by name.
func things(dir string) (map[string]string, error) {
	files, err := os.ReadDir(dir)
	out := map[string]string{}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue // half written
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // just deleted
		}
		if err != nil {
			return nil, err
		}
		out[f.Name()] = string(b)
	}
	return out, err
}

func thingOutputsOf(c thingConfig, name sdk.Value[string]) thingOutputs {
	o := thingOutputs{Name: name}
	o.Health, o.Items = sdk.Known("Current"), []string{c.ID}
	return o
}

func (thing) Plan(_ context.Context, r sdk.PlanRequest[thingConfig, thingOutputs]) (sdk.PlanResult[thingOutputs], error) {
	if r.Destroy {
		return sdk.PlanResult[thingOutputs]{Action: sdk.ActionDelete}, nil
	}
	res := sdk.PlanResult[thingOutputs]{Action: sdk.ActionCreate, Outputs: thingOutputsOf(r.Config, sdk.Unknown[string]())}
	if r.Prior == nil {
		return res, nil
	}
	name, known := r.Prior.Outputs.Name.Get()
	if !known || name == "" {
		return res, nil
	}
	b, err := os.ReadFile(filepath.Join(r.Config.Into, name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return res, nil
	case err != nil:
		return res, err
	}
	res.Action, res.Outputs = sdk.ActionUpdate, thingOutputsOf(r.Config, sdk.Known(name))
	if string(b) == r.Config.content() {
		res.Action = sdk.ActionNone
	}
	return res, nil
}

func (thing) Apply(ctx context.Context, r sdk.ApplyRequest[thingConfig, thingOutputs]) (sdk.Result[thingOutputs], error) {
	name := r.Config.ID + "." + r.Operation[:8]
	if r.Action == sdk.ActionUpdate {
		name = r.Prior.Outputs.Name.OrZero()
	}
	res := sdk.Result[thingOutputs]{Outputs: thingOutputsOf(r.Config, sdk.Known(name))}
	if err := sdk.Save(ctx, res); err != nil {
		return res, err
	}
	if err := r.Config.note("make", name); err != nil {
		return res, err
	}
	time.Sleep(5 * time.Millisecond) // work takes time
	tmp := filepath.Join(r.Config.Into, fmt.Sprintf(".%s.%d", name, os.Getpid()))
	err := os.WriteFile(tmp, []byte(r.Config.content()), 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(r.Config.Into, name))
	}
	time.Sleep(5 * time.Millisecond) // the moment in which it is done and nobody knows
	return res, err
}

func (thing) Destroy(_ context.Context, r sdk.DestroyRequest[thingConfig, thingOutputs]) error {
	name := r.Prior.Outputs.Name.OrZero()
	if name == "" {
		return nil // it was not begun
	}
	if err := r.Config.note("delete", name); err != nil {
		return err
	}
	time.Sleep(5 * time.Millisecond)
	err := os.Remove(filepath.Join(r.Config.Into, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
