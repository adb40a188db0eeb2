package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// kind is how objects of a kind are served.
type kind struct {
	Resource   string `json:"resource"` // "deployments"
	Namespaced bool   `json:"namespaced,omitempty"`
}

// kinds knows how kinds are served. It asks for one group and version at a time and keeps
// the answers, also on disk: between runs they hardly ever change. A kind that is not
// known is always asked for again, and a stale answer is noticed when it is used.
type kinds struct {
	client rest.Interface
	file   string // empty: not kept

	mu     sync.Mutex
	loaded bool
	known  map[string]map[string]kind // "apps/v1" -> "Deployment" -> kind
}

func newKinds(client rest.Interface, cacheDir string, config *rest.Config) *kinds {
	k := &kinds{client: client, known: map[string]map[string]kind{}}
	if cacheDir != "" {
		// A test cluster started anew at the same address has another certificate authority.
		sum := sha256.Sum256([]byte(config.Host + "\x00" + string(config.CAData) + "\x00" + config.CAFile))
		k.file = filepath.Join(cacheDir, "kubernetes", "kinds", hex.EncodeToString(sum[:16])+".json")
	}
	return k
}

// lookup returns nil when the server does not have the kind.
func (k *kinds) lookup(ctx context.Context, gvk schema.GroupVersionKind) (*kind, error) {
	gv := gvk.GroupVersion().String()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.load()
	if found, ok := k.known[gv][gvk.Kind]; ok {
		return &found, nil
	}
	served, err := k.ask(ctx, gvk.GroupVersion())
	if err != nil {
		return nil, err
	}
	k.known[gv] = served
	k.save()
	if found, ok := served[gvk.Kind]; ok {
		return &found, nil
	}
	return nil, nil
}

// serving returns the kind in the version that was asked for or, when the server does not have it there, in the version that
// the server prefers among those that have it. The kind is nil when the server does not have it at all. An empty version
// stands for any.
func (k *kinds) serving(ctx context.Context, gvk schema.GroupVersionKind) (schema.GroupVersionKind, *kind, error) {
	if gvk.Version != "" {
		if found, err := k.lookup(ctx, gvk); err != nil || found != nil {
			return gvk, found, err
		}
	}
	versions, err := k.versions(ctx, gvk.Group)
	if err != nil {
		return gvk, nil, err
	}
	for _, version := range versions {
		if version == gvk.Version {
			continue
		}
		other := gvk.GroupKind().WithVersion(version)
		if found, err := k.lookup(ctx, other); err != nil || found != nil {
			return other, found, err
		}
	}
	return gvk, nil, nil
}

// versions asks for the versions of a group, the preferred one first. A group that the server does not have has none.
func (k *kinds) versions(ctx context.Context, group string) ([]string, error) {
	if group == "" {
		return []string{"v1"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := k.client.Get().AbsPath("/apis/" + group).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var served metav1.APIGroup
	if err := json.Unmarshal(body, &served); err != nil {
		return nil, err
	}
	all := []string{served.PreferredVersion.Version}
	for _, v := range served.Versions {
		if v.Version != served.PreferredVersion.Version {
			all = append(all, v.Version)
		}
	}
	return all, nil
}

// forget makes the next lookup in the group and version ask the server.
func (k *kinds) forget(gv schema.GroupVersion) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, gv.String())
}

// near lists the kinds that the server has in a group and version.
func (k *kinds) near(gv schema.GroupVersion) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for name := range k.known[gv.String()] {
		names = append(names, name)
	}
	return names
}

func (k *kinds) ask(ctx context.Context, gv schema.GroupVersion) (map[string]kind, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	path := "/apis/" + gv.String()
	if gv.Group == "" {
		path = "/api/" + gv.Version
	}
	body, err := k.client.Get().AbsPath(path).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return map[string]kind{}, nil
	}
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	served := map[string]kind{}
	for _, r := range list.APIResources {
		if !strings.Contains(r.Name, "/") {
			served[r.Kind] = kind{Resource: r.Name, Namespaced: r.Namespaced}
		}
	}
	return served, nil
}

func (k *kinds) load() {
	if k.loaded {
		return
	}
	k.loaded = true
	data, err := os.ReadFile(k.file)
	if k.file == "" || err != nil {
		return
	}
	known := map[string]map[string]kind{}
	if json.Unmarshal(data, &known) == nil && known != nil {
		k.known = known
	}
}

// save keeps what is known. It is a cache: what cannot be written is asked for again.
func (k *kinds) save() {
	if k.file == "" {
		return
	}
	data, err := json.Marshal(k.known)
	if err != nil || os.MkdirAll(filepath.Dir(k.file), 0o700) != nil {
		return
	}
	temp, err := os.CreateTemp(filepath.Dir(k.file), ".kinds-*")
	if err != nil {
		return
	}
	_, err = temp.Write(data)
	if closeErr := temp.Close(); err != nil || closeErr != nil || os.Rename(temp.Name(), k.file) != nil {
		os.Remove(temp.Name()) //nolint:errcheck // nothing is lost with it
	}
}
