package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/skeema/knownhosts"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/redact"
)

// access is how a remote is reached.
type access struct {
	auth transport.AuthMethod // nil: none yet
	http credentials          // of an HTTP host
	ca   []byte
}

// more finds credentials that are looked for only when a host refuses to answer without. It returns false if there are none.
func (a *access) more(ctx context.Context, err error) bool {
	refused := errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed)
	if !refused || a.http.host == "" {
		return false
	}
	found := a.http.later(ctx)
	if found == nil {
		return false
	}
	a.auth, a.http.auth = found, found
	return true
}

func accessTo(c Config, e *transport.Endpoint, stack sdk.Credentials) (access, error) {
	switch e.Protocol {
	case "http", "https":
		return httpAccess(c, e, stack)
	case "ssh":
		auth, err := sshAccess(c, e)
		return access{auth: auth}, err
	}
	return access{}, &sdk.Error{Summary: fmt.Sprintf("the protocol %q of %s is not supported", e.Protocol, redact.URL(c.URL)), Path: sdk.At("url"),
		Code: "git.url", Hint: "Use https://, ssh:// or a path."}
}

func httpAccess(c Config, e *transport.Endpoint, stack sdk.Credentials) (access, error) {
	var a access
	var err error
	if a.http, err = credentialsFor(c, e, stack); err != nil {
		return a, err
	}
	if a.http.auth != nil {
		a.auth = a.http.auth
	}
	file := c.CAFile
	if file == "" {
		file = os.Getenv("GIT_SSL_CAINFO")
	}
	if file == "" {
		return a, nil
	}
	if a.ca, err = os.ReadFile(file); err != nil {
		return a, &sdk.Error{Summary: "the file with certificates cannot be read", Path: sdk.At("ca_file"), Code: "git.ca_file", Err: err}
	}
	return a, nil
}

// sshAccess makes the keys for SSH. The host's key is always checked.
func sshAccess(c Config, e *transport.Endpoint) (transport.AuthMethod, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("the home folder with the SSH keys was not found: %w", err)
	}
	user := e.User
	if user == "" {
		user = "git"
	}
	known := c.KnownHosts
	if known == "" {
		known = filepath.Join(home, ".ssh", "known_hosts")
	}
	db, err := knownhosts.NewDB(known)
	if err != nil {
		return nil, &sdk.Error{Summary: "the file with known hosts cannot be read", Path: sdk.At("known_hosts"), Code: "git.known_hosts", Err: err,
			Hint: fmt.Sprintf("Make it with: ssh-keyscan %s > %s, and compare the key with what the host publishes.", e.Host, known)}
	}
	port := e.Port
	if port == 0 {
		port = 22
	}
	check := gitssh.HostKeyCallbackHelper{
		HostKeyCallback:   db.HostKeyCallback(),
		HostKeyAlgorithms: db.HostKeyAlgorithms(net.JoinHostPort(e.Host, fmt.Sprint(port))),
	}
	key, err := keyFile(c, home)
	if err != nil {
		return nil, err
	}
	if key == "" {
		agent, err := gitssh.NewSSHAgentAuth(user)
		if err != nil {
			return nil, &sdk.Error{Summary: "no SSH key was found", Path: sdk.At("url"), Code: "git.ssh_key", Hint: "Set ssh_key to a private key, or start an SSH agent."}
		}
		agent.HostKeyCallbackHelper = check
		return agent, nil
	}
	keys, err := gitssh.NewPublicKeysFromFile(user, key, "")
	if err != nil {
		return nil, &sdk.Error{Summary: fmt.Sprintf("the SSH key %s cannot be used", key), Path: sdk.At("ssh_key"), Code: "git.ssh_key", Err: err,
			Hint: "It must be a private key without a passphrase. For a key with a passphrase, use an SSH agent."}
	}
	keys.HostKeyCallbackHelper = check
	return keys, nil
}

// keyFile finds the private key: the configured one, none if there is an agent, else the usual ones.
func keyFile(c Config, home string) (string, error) {
	if c.SSHKey != "" {
		if _, err := os.Stat(c.SSHKey); err != nil {
			return "", &sdk.Error{Summary: "the SSH key cannot be read", Path: sdk.At("ssh_key"), Code: "git.ssh_key", Err: err}
		}
		return c.SSHKey, nil
	}
	if os.Getenv("SSH_AUTH_SOCK") != "" {
		return "", nil
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if f := filepath.Join(home, ".ssh", name); exists(f) {
			return f, nil
		}
	}
	return "", nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// passing tells whether an error may pass by itself.
func passing(err error) bool {
	var network net.Error
	var status *githttp.Err
	if errors.As(err, &status) {
		return status.StatusCode() == 429 || status.StatusCode() >= 500
	}
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) && errors.As(unexpected.Err, &status) {
		return status.StatusCode() == 429 || status.StatusCode() >= 500
	}
	var op *net.OpError
	if knownhosts.IsHostKeyChanged(err) || knownhosts.IsHostUnknown(err) {
		return false
	}
	return errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &op)
}

// diagnose turns an error of a remote into one that says what to do.
func (r *repository) diagnose(err error, doing string) error {
	url := r.url
	out := &sdk.Error{Summary: fmt.Sprintf("%s %s failed", doing, url), Path: sdk.At("url"), Code: "git.failed", Detail: redact.Text(err.Error())}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed), strings.Contains(err.Error(), "unable to authenticate"):
		out.Summary, out.Code = fmt.Sprintf("%s refused the credentials", url), "git.unauthorized"
		out.Hint = "Set ssh_key to a key that may read the repository."
		if r.access.http.host != "" {
			out.Hint = r.access.http.hint()
		}
	case errors.Is(err, transport.ErrRepositoryNotFound):
		out.Summary, out.Code = fmt.Sprintf("the repository %s does not exist, or these credentials may not read it", url), "git.not_found"
		out.Hint = strings.TrimSpace("Check the URL, and that the token or key may read the repository. " + r.access.http.kept)
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		out.Summary, out.Code, out.Hint = url+" is empty", "git.empty", "Push a first commit."
	case knownhosts.IsHostKeyChanged(err):
		out.Summary, out.Code = fmt.Sprintf("the host key of %s differs from the one in known_hosts", url), "git.host_key"
		out.Hint = "Somebody may be intercepting the connection. If the host really has a new key, remove the old one from known_hosts and add the new one."
	case knownhosts.IsHostUnknown(err), strings.Contains(err.Error(), "key is unknown"):
		out.Summary, out.Code = fmt.Sprintf("the host key of %s is not in known_hosts", url), "git.host_key"
		out.Hint = "Add it with ssh-keyscan, after comparing it with what the host publishes."
	case errors.As(err, &dns):
		out.Summary, out.Code, out.Hint = fmt.Sprintf("the host of %s was not found", url), "git.unreachable", "Check the URL and the name server."
	case errors.As(err, &op):
		out.Summary, out.Code, out.Hint = fmt.Sprintf("%s cannot be reached", url), "git.unreachable", "Check that the host is up and that no firewall or proxy blocks the connection."
	}
	return out
}
