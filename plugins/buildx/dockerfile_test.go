package buildx

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk"
)

func TestBasesOfADockerfile(t *testing.T) {
	amd64 := []string{"linux/amd64"}
	tests := map[string]struct {
		dockerfile string
		config     Config
		want       []string
	}{
		"one":                        {"FROM python:3.11", Config{}, []string{"python:3.11"}},
		"without a tag":              {"FROM debian", Config{}, []string{"debian:latest"}},
		"the same by two names":      {"FROM debian:12 AS a\nFROM docker.io/library/debian:12\nCOPY --from=a /x /x", Config{}, []string{"debian:12"}},
		"with a port":                {"FROM 127.0.0.1:5000/base/python:3.11", Config{}, []string{"127.0.0.1:5000/base/python:3.11"}},
		"by digest":                  {"FROM debian@sha256:" + strings.Repeat("a", 64), Config{}, []string{"debian@sha256:" + strings.Repeat("a", 64)}},
		"nothing":                    {"FROM scratch\nCOPY . .", Config{}, nil},
		"stages":                     {"FROM golang:1 AS build\nFROM debian:12\nCOPY --from=build /x /x", Config{}, []string{"debian:12", "golang:1"}},
		"a stage on a stage":         {"FROM debian:12 AS base\nFROM base AS next\nFROM next", Config{}, []string{"debian:12"}},
		"a stage named as its image": {"FROM composer AS composer\nFROM php:8\nCOPY --from=composer /x /x", Config{}, []string{"composer:latest", "php:8"}},
		"names in capitals":          {"FROM golang:1 AS Build\nFROM debian:12\nCOPY --from=BUILD /x /x", Config{}, []string{"debian:12", "golang:1"}},
		"a stage by number":          {"FROM golang:1\nFROM debian:12\nCOPY --from=0 /x /x", Config{}, []string{"debian:12", "golang:1"}},
		"copied from an image":       {"FROM debian:12\nCOPY --from=busybox:1 /bin/sh /sh", Config{}, []string{"busybox:1", "debian:12"}},
		"mounted from an image":      {"FROM debian:12\nRUN --mount=type=bind,from=busybox:1,target=/b ls /b", Config{}, []string{"busybox:1", "debian:12"}},
		"mounted from a stage":       {"FROM golang:1 AS b\nFROM debian:12\nRUN --mount=from=b,target=/b ls /b", Config{}, []string{"debian:12", "golang:1"}},
		"a stage nobody needs":       {"FROM golang:1 AS test\nFROM debian:12", Config{}, []string{"debian:12"}},
		"a target":                   {"FROM golang:1 AS build\nFROM debian:12\nCOPY --from=build /x /x", Config{Target: "build"}, []string{"golang:1"}},
		"a target by number":         {"FROM golang:1 AS build\nFROM debian:12", Config{Target: "0"}, []string{"golang:1"}},
		"a default argument":         {"ARG TAG=12\nFROM debian:${TAG}", Config{}, []string{"debian:12"}},
		"an argument":                {"ARG TAG=12\nFROM debian:${TAG}", Config{Args: map[string]string{"TAG": "13"}}, []string{"debian:13"}},
		"arguments in arguments":     {"ARG REG=docker.io\nARG IMG=$REG/acme/app\nFROM ${IMG}:1", Config{Args: map[string]string{"REG": "example.com"}}, []string{"example.com/acme/app:1"}},
		"an argument with a fallback": {
			"ARG TAG\nFROM debian:${TAG:-12}", Config{}, []string{"debian:12"}},
		"an argument that only a stage has does not count": {
			"ARG TAG=12\nFROM debian:$TAG\nARG TAG=13", Config{}, []string{"debian:12"}},
		"an image for each platform": {"FROM base-${TARGETARCH}${TARGETVARIANT}:1", Config{Platforms: []string{"linux/arm64", "linux/arm/v7"}},
			[]string{"base-arm64:1", "base-armv7:1"}},
		"the platform of the machine that builds": {"FROM --platform=$BUILDPLATFORM golang:1", Config{}, []string{"golang:1"}},
		"a sensitive argument elsewhere": {"ARG TOKEN\nFROM debian:12\nARG TOKEN", Config{SensitiveArgs: map[string]string{"TOKEN": "hunter2"}},
			[]string{"debian:12"}},
		"another escape character": {"# escape=`\nFROM debian:12\nRUN a `\n  b", Config{}, []string{"debian:12"}},
		"a here-document":          {"FROM debian:12\nRUN <<EOF\nFROM x\nEOF\n", Config{}, []string{"debian:12"}},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			if tt.config.Platforms == nil {
				tt.config.Platforms = amd64
			}
			got, err := bases([]byte(tt.dockerfile), tt.config)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestDockerfilesThatCannotBeUsed(t *testing.T) {
	tests := map[string]struct {
		dockerfile string
		config     Config
		want       string
	}{
		"empty":                  {"", Config{}, "no instructions"},
		"comments only":          {"# nothing\n", Config{}, "no instructions"},
		"an unknown instruction": {"FROM debian\nRUNN x", Config{}, "line 2: unknown instruction: RUNN"},
		"no FROM":                {"RUN x", Config{}, "no build stage in current context"},
		"an argument not set":    {"ARG BASE\nFROM $BASE", Config{}, "line 2: FROM $BASE is empty with these build arguments"},
		"not declared":           {"FROM $BASE", Config{Args: map[string]string{"BASE": "debian"}}, "is empty with these build arguments"},
		"not a name":             {"ARG TAG\nFROM debian:$TAG", Config{}, `line 2: "debian:" is not the name of an image`},
		"no such stage":          {"FROM a AS one\nFROM b AS two", Config{Target: "three"}, `stage "three" does not exist; the stages are: one, two`},
		"no such number":         {"FROM a\nCOPY --from=7 /x /x", Config{}, "line 2: stage number 7 does not exist"},
		"the machine that builds": {"FROM base-$BUILDARCH", Config{},
			"depends on the building machine (BUILDARCH)"},
		"arguments that double": {"ARG A=xx\n" + strings.Repeat("ARG A=$A$A\n", 60) + "FROM a:$A", Config{}, "line 13: it expands to more than 4096 characters"},
		"a variable in --mount": {"FROM a\nRUN --mount=from=$X,target=/x ls", Config{}, "doesn't support variable expansion"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := bases([]byte(tt.dockerfile), tt.config)
			var e *sdk.Error
			if !errors.As(err, &e) || e.Path == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A base image is named in plans, in state and in logs.
func TestASensitiveArgumentCannotNameABase(t *testing.T) {
	for _, dockerfile := range []string{"ARG X\nFROM $X", "ARG X=debian\nFROM $X", "ARG X=debian\nARG Y=$X:12\nFROM $Y"} {
		_, err := bases([]byte(dockerfile), Config{SensitiveArgs: map[string]string{"X": "hunter2"}})
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != "buildx.sensitive_base" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", dockerfile, err)
		}
	}
}

func FuzzBases(f *testing.F) {
	f.Add([]byte("ARG A=1\nFROM a:$A AS b\nFROM b\nCOPY --from=b /x /y\nRUN --mount=from=c,target=/x ls"))
	f.Add([]byte("FROM a AS a\nFROM a AS a\nCOPY --from=1 . ."))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = bases(text, Config{Args: map[string]string{"A": "2"}, Platforms: []string{"linux/arm/v7"}})
	})
}
