#!/bin/sh
# Installs the system packages that the tests need (Debian and its
# relatives). Run as root; running it again is harmless. The Go toolchain is
# not among them: the servers are built with the one that runs the tests.
set -eu

packages="
  ca-certificates git openssh-client
  gcc libc6-dev
  containerd runc containernetworking-plugins
  qemu-user-static binfmt-support
  busybox-static
  mount util-linux iproute2
"

if [ "$(id -u)" != 0 ]; then
  echo "setup.sh: must run as root: sudo $0" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "setup.sh: no apt-get here; install the equivalents of:" $packages >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
if ! command -v docker >/dev/null; then # only the command is used, no engine
  if apt-cache show docker-cli >/dev/null 2>&1; then
    packages="$packages docker-cli"
  else
    packages="$packages docker.io"
  fi
fi
if ! command -v npm >/dev/null; then # for the example plugin in JavaScript
  packages="$packages nodejs npm"
fi
# shellcheck disable=SC2086 # a list of words is meant
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $packages
