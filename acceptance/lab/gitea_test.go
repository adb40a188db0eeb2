package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGiteaTakesPushesWithToken(t *testing.T) {
	name := fresh("by-token")
	repo, err := l.Gitea.CreateRepository(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	work := commit(t)
	git(t, work, nil, "push", repo.TokenURL, "main")
	if out, err := tryGit(t, work, nil, "ls-remote", repo.CloneURL); err == nil {
		t.Errorf("a private repository was read without the token:\n%s", out)
	}
	head := git(t, work, nil, "rev-parse", "HEAD")
	if out := git(t, work, nil, "ls-remote", repo.TokenURL, "refs/heads/main"); !strings.HasPrefix(out, head) {
		t.Errorf("main is at %s, want %s", out, head)
	}
	if _, _, err := l.Gitea.Client.GetRepo(l.Gitea.User, name); err != nil {
		t.Errorf("the API does not know the repository: %v", err)
	}
}

func TestGiteaTakesPushesWithDeployKey(t *testing.T) {
	repo, err := l.Gitea.CreateRepository(t.Context(), fresh("by-key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := repo.AddDeployKey(t.Context(), "reads and writes", false)
	if err != nil {
		t.Fatal(err)
	}
	readKey, err := repo.AddDeployKey(t.Context(), "reads", true)
	if err != nil {
		t.Fatal(err)
	}
	work := commit(t)
	git(t, work, ssh(key), "push", repo.SSHURL, "main")
	head := git(t, work, nil, "rev-parse", "HEAD")
	if out := git(t, work, ssh(readKey), "ls-remote", repo.SSHURL, "refs/heads/main"); !strings.HasPrefix(out, head) {
		t.Errorf("main is at %s, want %s", out, head)
	}
	if out, err := tryGit(t, work, ssh(readKey), "push", repo.SSHURL, "main:other"); err == nil {
		t.Errorf("a key that only reads wrote:\n%s", out)
	}
}

// commit makes a Git repository with one commit on main.
func commit(t *testing.T) string {
	t.Helper()
	work := t.TempDir()
	git(t, work, nil, "init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(work, "README"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, work, nil, "add", "README")
	git(t, work, nil, "-c", "user.name=lab", "-c", "user.email=lab@example.com", "commit", "-q", "-m", "Say hello")
	return work
}

// ssh is the environment that makes git use a key and the lab's known hosts.
func ssh(key string) []string {
	return []string{"GIT_SSH_COMMAND=ssh -F none -i " + key + " -o IdentitiesOnly=yes" +
		" -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + l.Gitea.KnownHostsFile}
}

func git(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	out, err := tryGit(t, dir, env, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func tryGit(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	env = append([]string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0"}, env...)
	return run(t, dir, env, append([]string{"git"}, args...)...)
}
