// Package kill_test runs the kill test of the command (cmd/davit) on real servers: with the state in S3 and in Kubernetes,
// and with Kubernetes objects as the effects.
package kill_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-sh/davit/acceptance/lab"
	"github.com/davit-sh/davit/state/statetest"
)

var (
	servers *lab.Lab
	program string // the tests of the command
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "davit-kill-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "davit.test")
	build := exec.Command("go", "test", "-c", "-o", program, "./cmd/davit")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the tests of the command: %v\n%s", err, out)
		return 1
	}
	return lab.Run(m, &servers, lab.Options{APIServer: true, S3: true})
}

// place is what the kill test is told: see killPlace in cmd/davit.
type place struct {
	Backend, State string
	Env            []string
	Effects        []string
	Stacks         []string
	Expires        bool
}

// killIn runs the kill test somewhere else.
func killIn(t *testing.T, p place) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "place.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run", "^TestKilledApply$", "-test.count", "1", "-test.timeout", "75m")
	cmd.Dir = filepath.Join("..", "..", "cmd", "davit")
	cmd.Env = append(os.Environ(), "DAVIT_KILL_PLACE="+file)
	out, err := cmd.CombinedOutput()
	fmt.Printf("%s", out)
	if err != nil {
		t.Fatalf("the kill test failed: %v", err)
	}
}

func TestStateInS3(t *testing.T) {
	bucket := fresh("kill")
	if err := servers.S3.Bucket(bucket); err != nil {
		t.Fatal(err)
	}
	killIn(t, place{
		Backend: "s3", Effects: []string{"file"}, Expires: true,
		State: fmt.Sprintf("state \"s3\" {\n    bucket     = %q\n    key        = \"%%s\"\n    region     = %q\n    endpoint   = %q\n    path_style = true\n  }", bucket, servers.S3.Region, servers.S3.URL),
		Env:   []string{"AWS_ACCESS_KEY_ID=" + servers.S3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + servers.S3.SecretKey, "AWS_EC2_METADATA_DISABLED=true"},
	})
}

func TestStateInKubernetes(t *testing.T) {
	killIn(t, place{
		Backend: "kubernetes", Effects: []string{"file"}, Expires: true,
		State: fmt.Sprintf("state \"kubernetes\" {\n    name       = \"%%s\"\n    namespace  = \"default\"\n    kubeconfig = %q\n  }", servers.APIServer.Kubeconfig),
	})
}

// instances is how many operations a stack has.
const instances = 200

// Objects are made once: none is changed again, or deleted and made anew.
func TestObjects(t *testing.T) {
	rounds := 20 // a round is over before it can be killed more than once or twice
	if n, err := strconv.Atoi(os.Getenv("DAVIT_KILLS")); err == nil {
		rounds = n*2/3 + 1
	}
	config, err := clientcmd.BuildConfigFromFlags("", servers.APIServer.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	repo := repository(t)
	p := place{Backend: "local", Env: []string{"KUBECONFIG=" + servers.APIServer.Kubeconfig}}
	var spaces []string
	for range rounds {
		space := fresh("kill")
		ns := &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}}
		if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, space)
		p.Stacks = append(p.Stacks, stack(t, repo, space))
	}
	seen := watched(t, client)
	killIn(t, p)
	lost, repeated := 0, 0
	for _, space := range spaces {
		list, err := client.CoreV1().ConfigMaps(space).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, o := range list.Items {
			there[o.Name] = true
		}
		for i := range instances {
			name := fmt.Sprintf("c%d", i)
			if !there[name] {
				lost++
			}
			if events := seen.of(space + "/" + name); len(events) != 1 {
				repeated++
				t.Errorf("%s/%s: %v", space, name, events)
			}
		}
	}
	statetest.Numbers(t, "Kubernetes objects: %d, %d lost, %d made or changed more than once", rounds*instances, lost, repeated)
	if lost > 0 {
		t.Errorf("%d objects are not there", lost)
	}
}

// repository has a folder with a ConfigMap for each instance.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range instances {
		text := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c%d\ndata:\n  number: %q\n", i, fmt.Sprint(i))
		folder := filepath.Join(dir, fmt.Sprintf("c%d", i))
		if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "c.yaml"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"add", "--all"},
		{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message=all"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func stack(t *testing.T, repo, namespace string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`source "git" "repo" {
  url    = %q
  branch = "main"
}
application "kubernetes" "c" {
  count     = %d
  source    = source.git.repo
  path      = "c${count.index}"
  namespace = %q
}
`, repo, instances, namespace)
	if err := os.WriteFile(filepath.Join(dir, "davit.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// events is what a watch has seen.
type events struct {
	mu   sync.Mutex
	list map[string][]string
}

// watched notes all that happens to ConfigMaps from now on.
func watched(t *testing.T, client *kubernetes.Clientset) *events {
	t.Helper()
	now, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := client.CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: now.ResourceVersion, TimeoutSeconds: new(int64(7200))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	e := &events{list: map[string][]string{}}
	go e.note(t.Context(), w)
	return e
}

func (e *events) note(ctx context.Context, w watch.Interface) {
	for event := range w.ResultChan() {
		name := "the watch"
		if o, ok := event.Object.(*core.ConfigMap); ok {
			name = o.Namespace + "/" + o.Name
		}
		e.mu.Lock()
		e.list[name] = append(e.list[name], string(event.Type))
		e.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// of returns what happened to an object. What has just happened may take a moment to be told.
func (e *events) of(name string) []string {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		e.mu.Lock()
		list := e.list[name]
		e.mu.Unlock()
		if len(list) > 0 || time.Now().After(deadline) {
			return list
		}
	}
}

// fresh is a name that no other test has used.
func fresh(name string) string { return name + "-" + strings.ToLower(rand.Text()[:8]) }
