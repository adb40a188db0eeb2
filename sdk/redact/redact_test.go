package redact

import (
	"strings"
	"testing"
)

func TestCredentialsAreTakenOutOfURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"https://git.example.com/a.git":                         "https://git.example.com/a.git",
		"https://git.example.com:8443/a.git":                    "https://git.example.com:8443/a.git",
		"https://ada:hunter2@git.example.com/a.git":             "https://git.example.com/a.git",
		"HTTP://ada:hunter2@git.example.com/a.git":              "HTTP://git.example.com/a.git",
		"hTTps://hunter2@git.example.com":                       "hTTps://git.example.com",
		"https://ada:hun%ter2@git.example.com/a.git":            "https://git.example.com/a.git",
		"https://ada:hunter2@x@git.example.com/a.git":           "https://git.example.com/a.git",
		"https://ada:hunter2/x@git.example.com/a.git":           "https://git.example.com/a.git",
		"https://git.example.com:8443/@scope/a.git":             "https://git.example.com:8443/@scope/a.git",
		"ssh://git:hunter2@git.example.com/a.git":               "ssh://git@git.example.com/a.git",
		"ssh://git@git.example.com/a.git":                       "ssh://git@git.example.com/a.git",
		"https://git.example.com/a?private_token=hunter2":       "https://git.example.com/a?private_token=(sensitive)",
		"https://git.example.com/a?x=1&access_token=hunter2":    "https://git.example.com/a?x=(sensitive)&access_token=(sensitive)",
		"https://git.example.com/a/info/refs?service=git-fetch": "https://git.example.com/a/info/refs?service=git-fetch",
		"git@git.example.com:a.git":                             "git@git.example.com:a.git",
		"./a":                                                   "./a",
	} {
		if got := URL(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
		in := `clone "` + raw + `" failed: see (` + raw + ` , too)`
		if got := Text(in); strings.Contains(got, "hun") || want == raw && got != in {
			t.Errorf("%s: %s", in, got)
		}
		source := Source([]byte(in))
		if len(source) != len(in) || strings.Contains(string(source), "hun") {
			t.Errorf("%s: %s", in, source)
		}
	}
}

func TestURLsThatHoldASecretAreKnown(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://git.example.com/a.git": false, "ssh://git@git.example.com/a": false, "git@git.example.com:a": false, "./a@b": false,
		"https://git.example.com/a?ref=main": false, "https://git.example.com/a@b": false, "https://git.example.com/a?author=x": false,
		"https://ada@git.example.com/a": true, "HTTPS://ada:x@git.example.com/a": true, "ssh://git:x@git.example.com/a": true,
		"https://git.example.com/a?private_token=x": true, "https://git.example.com/a?b=c&ACCESS_TOKEN=x": true, "https://git.example.com/a?api_key=x": true,
		"https://git.example.com/a?X-Amz-Signature=x": true,
	} {
		if got := SecretIn(raw) != ""; got != want {
			t.Errorf("%s: %t", raw, got)
		}
	}
}
