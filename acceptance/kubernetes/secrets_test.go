package kubernetes_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secretsChart uses secrets as charts do: in Secrets, in what is no Secret, encoded, cut, in a label's checksum, and in errors.
const secretsChart = `apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {short: {{ .Values.short | quote }}, lines: {{ .Values.lines | quote }}}
data: {binary: {{ .Values.binary }}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: forms
  annotations: {url: {{ printf "https://ada:%s@db.example.com/" (urlquery .Values.escaped) | quote }}}
data:
  short: {{ .Values.short | quote }}
  number: {{ .Values.number | int64 | quote }}
  twice: {{ .Values.short | b64enc | b64enc }}
  json: {{ dict "a" .Values.escaped | toJson | quote }}
  upper: {{ .Values.lower | upper | quote }}
  half: {{ .Values.lower | trunc 8 | quote }}
  open: nothing to hide
{{ if .Values.port }}---
apiVersion: v1
kind: Service
metadata: {name: refused}
spec: {ports: [{port: {{ .Values.number | int64 }}}]}
{{ end }}{{ if .Values.image }}---
apiVersion: v1
kind: Pod
metadata: {name: pulls}
spec: {containers: [{name: c, image: "127.0.0.1:1/{{ .Values.lower }}:1"}]}
{{ end }}{{ if .Values.broken }}{{ fail (printf "bad %s %v %s" .Values.short .Values.number (upper .Values.lower)) }}{{ end }}
`

const secretsStack = `variable "short" { sensitive = true }
variable "number" {
  type      = number
  sensitive = true
}
variable "lines" { sensitive = true }
variable "binary" { sensitive = true }
variable "escaped" { sensitive = true }
variable "lower" { sensitive = true }
variable "do" { default = "" }
application "kubernetes" "web" {
  source    = source.git.repo
  path      = "web"
  namespace = %q
  timeout   = "20s"
  labels    = { team = var.lower }
  values = jsonencode({
    short   = var.short, number = var.number, lines = var.lines, binary = var.binary, escaped = var.escaped, lower = var.lower
    port    = var.do == "port", image = var.do == "image", broken = var.do == "broken"
  })
}
`

// What a chart makes of secrets on a real cluster is in no output, log, error, state, history or argument of a process: not when it is planned, applied,
// changed by others, refused by the API server, failing to start, or deleted.
func TestNoFormOfASecretLeaks(t *testing.T) {
	s := newStack(t)
	s.stack(fmt.Sprintf(secretsStack, s.namespace))
	s.commit("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/templates/all.yaml", secretsChart)
	var forms []string
	done := s.watchArguments(&forms)
	for range 2 {
		forms = append(forms, plantSecrets(t)...)
		for _, args := range [][]string{{"plan"}, {"plan", "-json"}, {"plan", "-out=p"}, {"show", "p"}, {"show", "-json", "p"}, {"show", "-markdown", "p"}} {
			if out, code := s.davit(args...); code != 0 {
				t.Fatalf("davit %q ended with %d:\n%s", args, code, out)
			}
		}
		for _, do := range []string{"broken", "port"} {
			s.refused("plan", "-var", "do="+do)
			s.refused("plan", "-json", "-var", "do="+do)
		}
		s.apply()
		s.refused("apply", "-auto-approve", "-json", "-var", "do=image")
		s.refused("apply", "-auto-approve", "-verbose", "-var", "do=image")
		s.kubectl("patch", "configmap", "forms", "--type=merge", "--patch", `{"data": {"short": "other", "half": "other", "open": "changed"}}`)
		out, _ := s.davit("plan", "-verbose")
		contains(t, out, "nothing to hide", "(sensitive")
		s.apply()
		if out, _ := s.davit("plan"); !strings.Contains(out, "No changes") {
			t.Errorf("the same secrets are a change:\n%s", out)
		}
	}
	address := "application.kubernetes.web"
	for _, args := range [][]string{{"state", "pull"}, {"state", "show", "-json", address}, {"state", "show", address}, {"history", address}, {"history", "-json", address},
		{"why", address}, {"why", "-json", address}, {"state", "operations", "-json"}, {"refresh", "-auto-approve"}, {"destroy", "-auto-approve", "-json"}, {"state", "pull"}} {
		if out, code := s.davit(args...); code != 0 {
			t.Errorf("davit %q ended with %d:\n%s", args, code, out)
		}
	}
	done()
	s.noSecret(forms...)
	if !strings.Contains(s.said.String(), "nothing to hide") {
		t.Error("what is no secret is hidden as well")
	}
}

// refused runs davit, which must fail.
func (s *stack) refused(args ...string) {
	s.t.Helper()
	if out, code := s.davit(args...); code == 0 {
		s.t.Errorf("davit %q did not fail:\n%s", args, out)
	}
}

// plantSecrets gives each variable a new secret, and returns the forms in which none of it may appear.
func plantSecrets(t *testing.T) []string {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(80_000_000))
	if err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprint(n.Int64() + 10_000_000)
	short := "q~" + strings.ToLower(rand.Text()[:3]) + "!"
	first, second := rand.Text(), rand.Text()
	raw := "\xff\xfe" + rand.Text()
	binary := base64.StdEncoding.EncodeToString([]byte(raw))
	escaped := rand.Text()[:6] + `"<&\ ` + rand.Text()[:6]
	lower := strings.ToLower(rand.Text())
	for name, value := range map[string]string{"short": short, "number": number, "lines": first + "\n" + second, "binary": binary, "escaped": escaped, "lower": lower} {
		t.Setenv("DAVIT_VAR_"+name, value)
	}
	once := base64.StdEncoding.EncodeToString([]byte(short))
	return []string{
		short, number, first, second, binary, raw[2:], escaped, strings.ReplaceAll(escaped, `"`, `\"`), url.QueryEscape(escaped), lower, strings.ToUpper(lower), lower[:8],
		strings.TrimRight(once, "="), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(once)), "="), hex.EncodeToString([]byte(lower)),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(first+"\n"+second)), "="),
	}
}

// watchArguments looks for the secrets in the arguments of all processes, until stop is called. forms grows while it looks, and what was seen is compared at the end.
func (s *stack) watchArguments(forms *[]string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	seen := map[string]bool{}
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(10 * time.Millisecond):
			}
			files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, file := range files {
				if text, err := os.ReadFile(file); err == nil {
					seen[string(text)] = true
				}
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		for args := range seen {
			for _, form := range *forms {
				if strings.Contains(args, form) {
					s.t.Errorf("the secret %q is in the arguments of a process: %q", form, strings.ReplaceAll(args, "\x00", " "))
				}
			}
		}
	}
}
