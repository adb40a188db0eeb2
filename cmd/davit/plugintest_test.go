package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
)

// The built-in plugins, and one that misbehaves, go through "davit plugin test" as a person would run it.
func TestPluginScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "plugin"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("DAVIT_CACHE_DIR", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("GIT_AUTHOR_NAME", "Script")
			e.Setenv("GIT_AUTHOR_EMAIL", "script@example.com")
			e.Setenv("GIT_COMMITTER_NAME", "Script")
			e.Setenv("GIT_COMMITTER_EMAIL", "script@example.com")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry": startRegistry,
			"plugin":   linkPlugin,
			"commit":   commit,
			"image":    pushImage,
			"valid":    valid,
		},
	})
}

// image REPOSITORY:TAG pushes a small image.
func pushImage(ts *testscript.TestScript, _ bool, args []string) {
	ref, err := name.ParseReference(ts.Getenv("REGISTRY") + "/" + args[0])
	ts.Check(err)
	img, err := random.Image(64, 1)
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}
