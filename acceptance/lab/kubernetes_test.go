package lab_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/lab"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: %s
        command: [sh, -c, "mkdir /www && echo hello > /www/index.html && exec python3 -m http.server --directory /www 8000"]
        readinessProbe: {httpGet: {port: 8000}, periodSeconds: 1}
`

func TestKubernetesRunsAPodOfTheRegistry(t *testing.T) {
	namespace := kubectlNamespace(t)
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, deployment, l.Registry.Image(lab.Python)), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "", "kubectl", "-n", namespace, "apply", "-f", file)
	must(t, "", "kubectl", "-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
	ip := must(t, "", "kubectl", "-n", namespace, "get", "pod", "-l", "app=web", "-o", "jsonpath={.items[0].status.podIP}")
	if got := get(t, "http://"+ip+":8000/"); got != "hello\n" {
		t.Errorf("the pod answers %q", got)
	}
	if logs := must(t, "", "kubectl", "-n", namespace, "logs", "deployment/web"); !strings.Contains(logs, "GET / HTTP/1.1") {
		t.Errorf("the log shows no request:\n%s", logs)
	}
	if out := must(t, "", "kubectl", "-n", namespace, "exec", "deployment/web", "--", "hostname"); !strings.HasPrefix(out, "web-") {
		t.Errorf("the pod is called %q", out)
	}
}

func TestKubernetesTellsOfAnImageThatIsNotThere(t *testing.T) {
	namespace := kubectlNamespace(t)
	must(t, "", "kubectl", "-n", namespace, "run", "ghost", "--image="+l.Registry.Image("no/such:1"))
	must(t, "", "kubectl", "-n", namespace, "wait", "pod/ghost", "--timeout=60s",
		"--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull")
}

// kubectlNamespace makes a namespace in which pods can be created at once. It
// is left to the end of the lab.
func kubectlNamespace(t *testing.T) string {
	t.Helper()
	name := fresh("test")
	must(t, "", "kubectl", "create", "namespace", name)
	must(t, "", "kubectl", "-n", name, "wait", "serviceaccount/default", "--for=create", "--timeout=30s")
	return name
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
