package main

import (
	"slices"
)

var (
	dockerEnv = []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}
	proxyEnv  = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)

// builtinEnv are the environment variables that each built-in plugin may see besides the neutral ones. A name that ends in *
// stands for all names that begin so.
var builtinEnv = map[string][]string{
	"buildx": slices.Concat(dockerEnv, proxyEnv, []string{
		"DAVIT_BUILDX", "BUILDKIT_HOST", "BUILDX_*", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SSH_AUTH_SOCK",
	}),
	"git":        slices.Concat(proxyEnv, []string{"DAVIT_GIT_*", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "NETRC", "SSH_AUTH_SOCK"}),
	"kubernetes": slices.Concat(proxyEnv, []string{"KUBECONFIG", "KUBERNETES_SERVICE_*"}),
	"oci":        slices.Concat(dockerEnv, proxyEnv),
	"registry":   slices.Concat(dockerEnv, proxyEnv),
}
