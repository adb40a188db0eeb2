package oci

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

func TestValidateTellsAllMistakesWhereTheyAre(t *testing.T) {
	c := Config{
		Repository: "registry.example.com/App", Tag: "a tag", Context: "../x", To: "/app", Base: "base:",
		Triggers:  []string{"ok/**", "[", "/abs", "../up"},
		Platforms: []string{"linux/amd64", "linux", "linux/amd64"},
		Layers:    []Layer{{From: "a", To: "app", Strip: "../a", Mode: "rw", Platforms: []string{"linux/s390x"}}},
		Ports:     []string{"8080", "0", "99999", "http", "80/icmp"},
		Env:       map[string]string{"A=B": "x"},
		Workdir:   "app",
	}
	want := `repository
tag
context
base
to
triggers[1]
triggers[2]
triggers[3]
platforms[1]
platforms[2]
layer[0].to
layer[0].strip
layer[0].mode
layer[0].platforms[0]
ports[1]
ports[2]
ports[3]
ports[4]
env["A=B"]
workdir
`
	var all sdk.Errors
	if err := (builder{}).Validate(t.Context(), c); !errors.As(err, &all) {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, e := range all {
		fmt.Fprintln(&got, e.Path)
		if e.Summary == "" {
			t.Errorf("%v has no summary", e.Path)
		}
	}
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s\n%v", got.String(), want, all)
	}
}

func TestABuildNeedsLittle(t *testing.T) {
	if err := (builder{}).Validate(t.Context(), Config{Repository: "registry.example.com/app", Tag: "1.0.0"}); err != nil {
		t.Error(err)
	}
}

func TestThePluginHasAWholeSchema(t *testing.T) {
	if Plugin("1.0.0") == nil {
		t.Error("no plugin")
	}
}

func TestDavitsOwnTagsAreNotForPeople(t *testing.T) {
	err := builder{}.Validate(t.Context(), Config{Tag: "davit-" + strings.Repeat("a", 40)})
	if err == nil || !strings.Contains(err.Error(), "reserved for davit") {
		t.Error(err)
	}
}
