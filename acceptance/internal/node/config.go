package node

import (
	"errors"
	"fmt"

	"github.com/davit-sh/davit/acceptance/internal/controlplane"
	"github.com/davit-sh/davit/acceptance/internal/host"
)

// Without CAP_SYS_RESOURCE, as in many virtual machines, a container may not
// get a lower OOM score than containerd: hence restrict_oom_score_adj. A
// registry on 127.0.0.1 is taken as plain HTTP without being told so. Images and
// containers are kept in memory, below /run, which spares waiting for the disk.
const containerdConfig = `version = 2
root = "/run/containerd/root"
state = "/run/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = %[1]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[2]q
  restrict_oom_score_adj = true
  max_concurrent_downloads = 8
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[3]q
    conf_dir = %[4]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`

// ptp gives each pod a link of its own to the machine: no bridge, and no rules
// for packet filters.
const cniConfig = `{
  "cniVersion": "0.4.0",
  "name": "lab",
  "plugins": [{
    "type": "ptp",
    "ipMasq": false,
    "ipam": {
      "type": "host-local",
      "ranges": [[{"subnet": %q}]],
      "routes": [{"dst": "0.0.0.0/0"}],
      "dataDir": %q
    }
  }]
}
`

// There is no DNS: asked at 127.0.0.1, in the pod, it fails at once.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: %[1]d
healthzPort: 0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]q}
authorization: {mode: Webhook}
tlsCertFile: %[3]q
tlsPrivateKeyFile: %[4]q
containerRuntimeEndpoint: unix://%[5]s
imagePullCredentialsVerificationPolicy: NeverVerify
serializeImagePulls: false
resolvConf: %[6]q
volumePluginDir: %[7]q
clusterDomain: cluster.local
clusterDNS: [127.0.0.1]
cgroupDriver: cgroupfs
cgroupRoot: /%[8]s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
`

// writeConfig writes what containerd reads.
func (n *Node) writeConfig() error {
	return errors.Join(
		n.write("containerd.toml", fmt.Sprintf(containerdConfig,
			runtimeSocket, n.opts.Pause, host.CNIDir, n.file("cni"))),
		n.write("cni/10-lab.conflist", fmt.Sprintf(cniConfig, n.opts.Subnet, n.file("ipam"))),
	)
}

// writeKubeletConfig writes what the kubelet reads.
func (n *Node) writeKubeletConfig(plane *controlplane.Plane) error {
	ports, err := host.FreePorts(1)
	if err != nil {
		return err
	}
	return errors.Join(
		n.write("resolv.conf", "# Pods of the lab resolve no names.\n"),
		n.write("kubelet.yaml", fmt.Sprintf(kubeletConfig, ports[0],
			plane.File("ca.crt"), plane.File("kubelet.crt"), plane.File("kubelet.key"),
			runtimeSocket, n.file("resolv.conf"), n.file("volume-plugins"), n.opts.Cgroup)),
	)
}
