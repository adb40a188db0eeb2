package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// formsChart uses secrets in the ways that charts do.
const formsChart = `apiVersion: v1
kind: ConfigMap
metadata:
  name: forms
  annotations: {checksum: {{ printf "%s%v" .Values.short .Values.number | sha256sum }}}
data:
  short: {{ .Values.short | quote }}
  number: {{ .Values.number | int64 | quote }}
  lines: {{ .Values.lines | quote }}
  binary: {{ .Values.binary | quote }}
  twice: {{ .Values.short | b64enc | b64enc }}
  json: {{ dict "a" .Values.escaped | toJson | quote }}
  query: {{ .Values.escaped | urlquery }}
  upper: {{ .Values.lower | upper | quote }}
  half: {{ .Values.lower | trunc 6 | quote }}
  item: {{ index .Values.list 1 | quote }}
  url: {{ .Values.url | quote }}
  open: {{ .Values.open | quote }}
{{ range $k, $v := .Values.map }}
  {{ $k }}: {{ $v | quote }}
{{ end }}
{{ if .Values.broken }}{{ fail (printf "bad %s %v %s" .Values.short .Values.number (upper .Values.lower)) }}{{ end }}
`

const formsStack = `variable "short" { sensitive = true }
variable "number" {
  type      = number
  sensitive = true
}
variable "lines" { sensitive = true }
variable "binary" { sensitive = true }
variable "escaped" { sensitive = true }
variable "lower" { sensitive = true }
variable "broken" { default = false }
variable "decode" { default = false }
source "git" "repo" {
  url    = "REPO"
  branch = "main"
}
application "manifests" "m" {
  source    = source.git.repo
  path      = "chart"
  directory = "out"
  labels    = { team = var.short }
  values = jsonencode({
    short  = var.short, number = var.number, lines = var.lines, binary = var.binary, escaped = var.escaped, lower = var.lower
    list   = ["open", var.short], map = { key = substr(var.lower, 0, 5) }, url = "https://ada:${urlencode(var.escaped)}@db.example.com/"
    open   = "nothing to hide", broken = var.broken
  })
}
output "decoded" {
  value     = var.decode ? base64decode(var.binary) : ""
  sensitive = true
}
`

// Secrets that are short, numbers, binary, of several lines, encoded, cut or nested do not appear in anything, though their text cannot be
// searched for.
func TestNoFormOfASecretLeaks(t *testing.T) {
	t.Parallel()
	l := &leaking{killing: newKilling(t, killPlace{}, "file", 1), seen: map[string][]byte{}}
	l.dir = l.newStack()
	l.write("repo/chart/Chart.yaml", "apiVersion: v2\nname: forms\nversion: 1.0.0\n")
	l.write("repo/chart/templates/all.yaml", formsChart)
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "all"}} {
		if out, err := exec.Command("git", append([]string{"-C", filepath.Join(l.dir, "repo")}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	l.write("davit.hcl", strings.ReplaceAll(formsStack, "REPO", filepath.Join(l.dir, "repo")))
	secrets := planted{}
	done := l.watchArguments()
	l.ok("init")
	for round := range 2 {
		l.env = l.env[:0]
		l.plantForms(t, secrets, round)
		l.ok("plan")
		l.ok("plan", "-verbose")
		l.ok("plan", "-json")
		l.ok("plan", "-out=p")
		l.ok("show", "p")
		l.ok("show", "-json", "p")
		l.ok("show", "-markdown", "p")
		if out, err := l.try("plan", "-var", "broken=true"); err == nil {
			t.Errorf("a chart that fails did not:\n%s", out)
		}
		if out, err := l.try("plan", "-var", "decode=true"); err == nil {
			t.Errorf("what is no text was decoded:\n%s", out)
		}
		l.ok("apply", "p")
		if out := l.ok("plan"); !strings.Contains(out, "No changes") {
			t.Errorf("the same secrets are a change:\n%s", out)
		}
		l.write("out/other.txt", "kept")
	}
	for _, args := range [][]string{{"state", "pull"}, {"state", "show", "-json", "application.manifests.m"}, {"history", "-json", "application.manifests.m"},
		{"why", "application.manifests.m"}, {"output"}, {"destroy", "-auto-approve", "-json"}, {"history", "application.manifests.m"}} {
		l.ok(args...)
	}
	done()
	if !strings.Contains(string(l.seen["stdout of davit plan"]), "nothing to hide") {
		t.Errorf("the plan hides what is no secret:\n%s", l.seen["stdout of davit plan"])
	}
	l.scan(secrets, func(_, path string) bool {
		return strings.HasPrefix(path, "repo"+string(filepath.Separator)) || strings.HasPrefix(path, "out")
	})
}

// plantForms gives each variable a new secret, and notes in which forms none of it may appear.
func (l *leaking) plantForms(t *testing.T, secrets planted, round int) {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(80_000_000))
	if err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprint(n.Int64() + 10_000_000)
	short := "q~" + strings.ToLower(rand.Text()[:2]) + "!"
	lines := rand.Text() + "\n" + rand.Text()[:8] + "\n" + rand.Text()
	binary := base64.StdEncoding.EncodeToString([]byte("\xff\xfe" + rand.Text()))
	escaped := rand.Text()[:6] + `"<&\ ` + rand.Text()[:6]
	lower := strings.ToLower(rand.Text())
	for name, value := range map[string]string{"short": short, "number": number, "lines": lines, "binary": binary, "escaped": escaped, "lower": lower} {
		l.env = append(l.env, "DAVIT_VAR_"+name+"="+value)
		secrets[fmt.Sprintf("%s %d", name, round)] = value
	}
	decoded, err := base64.StdEncoding.DecodeString(binary)
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]string{
		"twice": base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(short)))), "upper": strings.ToUpper(lower), "half": lower[:6],
		"decoded": string(decoded[2:]), "line": strings.Split(lines, "\n")[1], "query": url.QueryEscape(escaped),
	} {
		secrets[fmt.Sprintf("%s %d", name, round)] = form
	}
}
