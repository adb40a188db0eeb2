package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/redact"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Diagnose turns an error of a registry (unauthorized, not found, too many requests, server errors, no connection,
// certificate) into one that says what happened to what and what to do. doing is a verb ("listing the tags of"), what
// the repository or reference. An error that has been diagnosed already is returned as it is. nil stays nil.
func Diagnose(err error, doing, what string) *sdk.Error {
	if err == nil {
		return nil
	}
	if done, ok := errors.AsType[*sdk.Error](err); ok {
		return done
	}
	host := hostOf(what)
	out := &sdk.Error{Summary: doing + " " + what + " failed", Detail: clean(err.Error()), Code: "registry.failed", Err: err}
	var answered *transport.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		out.Summary, out.Code = doing+" "+what+" was stopped", "registry.cancelled"
	case isCertificate(err): // before the answer: on this machine plain HTTP is tried too, and gets a 400
		diagnoseConnection(out, err, doing, what, host)
	case errors.As(err, &answered):
		diagnoseAnswer(out, answered, doing, what, host)
	default:
		diagnoseConnection(out, err, doing, what, host)
	}
	return out
}

func diagnoseAnswer(out *sdk.Error, answered *transport.Error, doing, what, host string) {
	out.Detail = clean(answerText(answered) + asked(answered))
	failed := func(how string) string { return fmt.Sprintf("%s %s: %s", doing, what, how) }
	switch code := answered.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		out.Code = "registry.unauthorized"
		out.Summary = failed(fmt.Sprintf("%s refused access (%d)", host, code))
		out.Hint = loginHint(host)
	case code == http.StatusNotFound && isRegistryAnswer(answered):
		out.Code, out.Summary = "registry.not_found", failed("not found")
		out.Hint = "check the name and the tag; some registries give this answer if the login may not read it"
	case code == http.StatusNotFound:
		out.Code, out.Summary = "registry.no_registry", failed(host+" does not answer as a registry (404)")
		out.Hint = "check the host's name and port"
	case code == http.StatusTooManyRequests:
		out.Code, out.Summary = "registry.too_many_requests", failed(host+" answered that there were too many requests (429)")
		out.Hint = "wait and run again; a login usually raises the limit"
		if busy, ok := errors.AsType[*Busy](out.Err); ok && busy.After > 0 {
			out.Hint = fmt.Sprintf("the registry asks to wait %s; a login usually raises the limit", busy.After)
		}
	case code >= 500:
		out.Code, out.Summary = "registry.server_error", failed(fmt.Sprintf("%s failed with %d", host, code))
		out.Hint = "it was tried several times; run again when the registry works"
		if busy, ok := errors.AsType[*Busy](out.Err); ok && busy.After > 0 {
			out.Hint = fmt.Sprintf("the registry asks to wait %s", busy.After)
		}
	default:
		out.Code, out.Summary = "registry.refused", failed(fmt.Sprintf("%s answered %d", host, code))
	}
}

// answerText is what the registry said, without the request's address, which Summary tells better.
func answerText(e *transport.Error) string {
	if len(e.Errors) == 0 {
		return "the registry gave no reason: " + http.StatusText(e.StatusCode)
	}
	var said []string
	for _, d := range e.Errors {
		said = append(said, strings.TrimSuffix(fmt.Sprintf("%s: %s", d.Code, d.Message), ": "))
	}
	return "the registry says " + strings.Join(said, "; ")
}

// asked says which request was refused, without the query: it may hold a token of the store that the registry sent to.
func asked(e *transport.Error) string {
	if e.Request == nil || e.Request.URL == nil {
		return ""
	}
	u := e.Request.URL
	return fmt.Sprintf(" (%s %s://%s%s)", e.Request.Method, u.Scheme, u.Host, u.EscapedPath())
}

func diagnoseConnection(out *sdk.Error, err error, doing, what, host string) {
	failed := func(how string) string { return fmt.Sprintf("%s %s: %s", doing, what, how) }
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		out.Code, out.Summary = "registry.connection_refused", failed("nothing answers at "+host+" (connection refused)")
		out.Hint = "is the registry running, and is the port right?"
	case isCertificate(err):
		out.Code, out.Summary = "registry.certificate", failed("the certificate of "+host+" is not trusted")
		out.Hint = "add its authority to the system's certificates or name it in SSL_CERT_FILE"
	case errors.As(err, &dns):
		out.Code, out.Summary = "registry.unknown_host", failed("the host "+host+" was not found")
		out.Hint = "check the host's name and the network"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		out.Code, out.Summary = "registry.plain_http", failed(host+" speaks plain HTTP")
		out.Hint = "set insecure = true to talk to it without encryption"
	case errors.As(err, &timeout) && timeout.Timeout():
		out.Code, out.Summary = "registry.timeout", failed(host+" did not answer in time")
		out.Hint = "check the network, then run again"
	case mayPass(err):
		out.Code, out.Summary = "registry.connection", failed("the connection to "+host+" broke")
		out.Hint = "check the network, then run again"
	}
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

func loginHint(host string) string {
	file := credentialsFile()
	if file == "" {
		return fmt.Sprintf("no docker configuration was found: log in with: docker login %s, or add credentials \"registry\" for it to the stack", host)
	}
	return fmt.Sprintf("log in with: docker login %s (credentials were read from %s), or add credentials \"registry\" for it to the stack", host, file)
}

// credentialsFile is the file that ggcr's keychain reads, or "".
func credentialsFile() string {
	home, _ := os.UserHomeDir()
	dockerDir := os.Getenv("DOCKER_CONFIG")
	configDir := os.Getenv("XDG_CONFIG_HOME")
	if configDir == "" && home != "" {
		configDir = filepath.Join(home, ".config")
	}
	for _, c := range []struct{ dir, file string }{
		{dockerDir, "config.json"},
		{filepath.Join(home, ".docker"), "config.json"},
		{os.Getenv("REGISTRY_AUTH_FILE"), ""},
		{os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json"},
		{configDir, "containers/auth.json"},
	} {
		if c.dir == "" {
			continue
		}
		path := filepath.Join(c.dir, c.file)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}

func hostOf(what string) string {
	if ref, err := name.ParseReference(what, name.WeakValidation); err == nil {
		return ref.Context().RegistryStr()
	}
	host, _, _ := strings.Cut(what, "/")
	return host
}

const longestDetail = 400

// clean makes text from afar safe to print: one line, no control characters, not endless.
func clean(s string) string {
	s = redact.Text(s) // a registry may send on to an address with a token in it
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > longestDetail {
		s = string(runes[:longestDetail]) + "..."
	}
	return s
}

func quote(s string) string { return fmt.Sprintf("%q", clean(s)) }

func joinCause(detail string, err error) string {
	if err == nil {
		return detail
	}
	return detail + ": " + clean(err.Error())
}
