package hint

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Name{
		"https://git.example.com/acme/shop.git":             {"git.example.com", "acme/shop"},
		"https://user:secret@Git.Example.com:443/Acme/Shop": {"git.example.com", "acme/shop"},
		"http://127.0.0.1:3000/acme/shop/":                  {"127.0.0.1", "acme/shop"},
		"ssh://git@git.example.com:2222/acme/shop.git":      {"git.example.com", "acme/shop"},
		"git@git.example.com:acme/shop.git":                 {"git.example.com", "acme/shop"},
		"git.example.com:acme/shop":                         {"git.example.com", "acme/shop"},
		"https://bitbucket.example.com/scm/shop/api.git":    {"bitbucket.example.com", "shop/api"},
		"ssh://git@bitbucket.example.com:7999/shop/api.git": {"bitbucket.example.com", "shop/api"},
		"registry.example.com:5000/team/app":                {"registry.example.com", "team/app"},
		"registry.example.com/team/app:1.0@sha256:abc":      {"registry.example.com", "team/app"},
		"localhost:5000/app:latest":                         {"localhost", "app"},
		"debian":                                            {"docker.io", "library/debian"},
		"acme/shop:1.0":                                     {"docker.io", "acme/shop"},
		"index.docker.io/acme/shop":                         {"docker.io", "acme/shop"},
		"https://[::1]:3000/a/b":                            {"::1", "a/b"},
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "/srv/repos/shop.git", "./shop", "file:///srv/shop", "~/shop", "two words", "https://", "https://host", "a@b", "://x/y"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestMatch(t *testing.T) {
	instances := []Named{
		{"source.git.https", []string{"https://git.example.com/acme/shop.git", "main"}},
		{"source.git.ssh", []string{"git@git.example.com:acme/shop.git"}},
		{"source.git.mirror", []string{"https://mirror.example.com/acme/shop"}},
		{"source.git.inside", []string{"http://gitea.git.svc:3000/acme/inside"}},
		{"source.git.other", []string{"https://git.example.com/acme/shop-2"}},
		{"image.registry.app", []string{"registry.example.com/acme/app"}},
	}
	for name, test := range map[string]struct {
		repositories, want []string
	}{
		"all addresses of one": {[]string{"https://git.example.com/acme/shop", "ssh://git@git.example.com/acme/shop.git"}, []string{"source.git.https", "source.git.ssh"}},
		"another host's name":  {[]string{"https://git.example.com/acme/inside"}, []string{"source.git.inside"}},
		"an image":             {[]string{"registry.example.com:443/acme/app:1.2"}, []string{"image.registry.app"}},
		"nothing":              {[]string{"https://git.example.com/acme/unknown", "", "/"}, nil},
	} {
		if diff := cmp.Diff(test.want, Hint{Repositories: test.repositories}.Match(instances)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://a:b@c:1/d.git", "git@h:p", "h:1/p:t@sha256:0", "x/y", "[::1]:5/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := Parse(text)
		if ok && (n.Host == "" || n.Path == "") {
			t.Errorf("%q is %v", text, n)
		}
	})
}
