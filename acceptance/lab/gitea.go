package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

// Gitea is a running Git host with one user, who is an administrator.
type Gitea struct {
	URL            string // like http://127.0.0.1:23456
	User           string
	Password       string
	Token          string // may do everything
	SSHAddress     string // host:port
	KnownHosts     string // the line of a known_hosts file for SSHAddress
	KnownHostsFile string // path of a file with that line
	Log            string // path of the log

	// Client speaks Gitea's API as the user: pull requests, statuses, hooks, ...
	Client *gitea.Client

	dir string
}

// Repository is one in Gitea, owned by the user.
type Repository struct {
	FullName string // OWNER/NAME
	CloneURL string // over HTTP; needs credentials when private
	TokenURL string // CloneURL with the token in it
	SSHURL   string // ssh://git@...; needs a deploy key

	name  string
	gitea *Gitea
}

const giteaConfig = `APP_NAME = lab
RUN_MODE = prod
RUN_USER = %[1]s
WORK_PATH = %[2]s
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]d
DOMAIN = 127.0.0.1
ROOT_URL = http://127.0.0.1:%[3]d/
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = %[4]d
SSH_PORT = %[4]d
SSH_SERVER_HOST_KEYS = %[2]s/ssh_host_ed25519
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = %[2]s/gitea.db
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
SECRET_KEY = %[5]s
INTERNAL_TOKEN = %[6]s
PASSWORD_HASH_ALGO = pbkdf2$1$50

[oauth2]
ENABLED = false

[webhook]
ALLOWED_HOST_LIST = loopback

[queue]
TYPE = channel

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[log]
MODE = console
LEVEL = Info
`

func (l *Lab) startGitea(ctx context.Context, made *artifacts) error {
	dir, err := l.folder("gitea")
	if err != nil {
		return err
	}
	ports, err := host.FreePorts(2)
	if err != nil {
		return err
	}
	g := &Gitea{
		URL:        fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		SSHAddress: fmt.Sprintf("127.0.0.1:%d", ports[1]),
		User:       "lab", Password: rand.Text(),
		Log: filepath.Join(dir, "gitea.log"),
		dir: dir,
	}
	if err := g.makeHostKey(ctx, ports[1]); err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "app.ini")
	text := fmt.Appendf(nil, giteaConfig, me.Username, dir, ports[0], ports[1], rand.Text(), rand.Text())
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	binary := made.binaries[server.Gitea]
	p, err := process.Start(process.Command{
		Name: "gitea",
		Args: []string{binary, "web", "--config", config},
		Env:  g.env(),
		Dir:  dir,
		Log:  g.Log,
	})
	if err != nil {
		return err
	}
	l.onStop(func() error { return p.Stop(0) })
	if err := p.WaitReady(ctx, 60*time.Second, func(ctx context.Context) error {
		return answers(ctx, g.URL+"/api/v1/version", http.StatusOK)
	}); err != nil {
		return err
	}
	if err := g.createUser(ctx, binary, config); err != nil {
		return err
	}
	g.Client, err = gitea.NewClient(g.URL, gitea.SetToken(g.Token))
	if err != nil {
		return fmt.Errorf("gitea: %w", err)
	}
	l.Gitea = g
	return nil
}

// env keeps Gitea and its git away from the user's settings.
func (g *Gitea) env() []string { return []string{"HOME=" + g.dir, "GITEA_WORK_DIR=" + g.dir} }

func (g *Gitea) makeHostKey(ctx context.Context, port int) error {
	public, err := newSSHKey(ctx, filepath.Join(g.dir, "ssh_host_ed25519"))
	if err != nil {
		return err
	}
	g.KnownHosts = fmt.Sprintf("[127.0.0.1]:%d %s", port, public)
	g.KnownHostsFile = filepath.Join(g.dir, "known_hosts")
	return os.WriteFile(g.KnownHostsFile, []byte(g.KnownHosts+"\n"), 0o600)
}

// createUser makes the user with a token, which the command prints last.
func (g *Gitea) createUser(ctx context.Context, binary, config string) error {
	out, err := process.Run(ctx, process.Command{
		Name: "gitea admin user create",
		Args: []string{
			binary, "--config", config, "admin", "user", "create",
			"--username", g.User, "--password", g.Password, "--email", "lab@example.com",
			"--admin", "--must-change-password=false",
			"--access-token", "--access-token-name", "lab", "--access-token-scopes", "all",
		},
		Env: g.env(),
		Dir: g.dir,
	})
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		if _, token, ok := strings.Cut(line, "Access token was successfully created... "); ok {
			g.Token = strings.TrimSpace(token)
			return nil
		}
	}
	return fmt.Errorf("gitea admin user create printed no token but:\n%s", out)
}

// CreateRepository makes an empty private repository of the user, whose
// default branch is main. Git sees a push at once; Gitea's API answers questions
// about the branches of the first one only after a moment, until then with
// status 500.
func (g *Gitea) CreateRepository(ctx context.Context, name string) (*Repository, error) {
	client, err := g.client(ctx)
	if err != nil {
		return nil, err
	}
	made, _, err := client.CreateRepo(gitea.CreateRepoOption{Name: name, Private: true, DefaultBranch: "main"})
	if err != nil {
		return nil, fmt.Errorf("create the repository %s: %w", name, err)
	}
	clone, err := url.Parse(g.URL + "/" + made.FullName + ".git")
	if err != nil {
		return nil, fmt.Errorf("create the repository %s: %w", name, err)
	}
	withToken := *clone
	withToken.User = url.UserPassword(g.User, g.Token)
	return &Repository{
		FullName: made.FullName,
		CloneURL: clone.String(),
		TokenURL: withToken.String(),
		SSHURL:   "ssh://git@" + g.SSHAddress + "/" + made.FullName + ".git",
		name:     name,
		gitea:    g,
	}, nil
}

// AddDeployKey makes a new SSH key that may read the repository, and write to
// it unless readOnly. It returns the path of the private key.
func (r *Repository) AddDeployKey(ctx context.Context, title string, readOnly bool) (string, error) {
	dir, err := os.MkdirTemp(r.gitea.dir, "deploy-key-")
	if err != nil {
		return "", err
	}
	key := filepath.Join(dir, "id_ed25519")
	public, err := newSSHKey(ctx, key)
	if err != nil {
		return "", err
	}
	client, err := r.gitea.client(ctx)
	if err != nil {
		return "", err
	}
	option := gitea.CreateKeyOption{Title: title, Key: public, ReadOnly: readOnly}
	if _, _, err := client.CreateDeployKey(r.gitea.User, r.name, option); err != nil {
		return "", fmt.Errorf("add a deploy key to %s: %w", r.FullName, err)
	}
	return key, nil
}

// client is one for calls that end with ctx.
func (g *Gitea) client(ctx context.Context) (*gitea.Client, error) {
	client, err := gitea.NewClient(g.URL, gitea.SetToken(g.Token), gitea.SetContext(ctx), gitea.SetGiteaVersion(""))
	if err != nil {
		return nil, fmt.Errorf("gitea: %w", err)
	}
	return client, nil
}

// newSSHKey writes a private key to path and returns the public one as a line.
func newSSHKey(ctx context.Context, path string) (string, error) {
	if _, err := process.Run(ctx, process.Command{
		Name: "ssh-keygen",
		Args: []string{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path},
	}); err != nil {
		return "", err
	}
	public, err := os.ReadFile(path + ".pub")
	return strings.TrimSpace(string(public)), err
}
