#!/bin/sh
# A root file system of Debian for another machine, unpacked and not installed: enough to run its Python under qemu-user.
# Needs apt, dpkg and a network; no root's rights, and nothing of this system is changed.
#
#   make_root.sh ARCHITECTURE FOLDER [SUITE]        armhf or arm64; SUITE: bookworm
set -eu
architecture=$1 root=$2 suite=${3:-bookworm}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages="python3 python3-numpy python3-pil python3-tqdm python3-pytest python3-hypothesis python3-setuptools libc6 libstdc++6 libatomic1"

mkdir -p "$root"
root=$(cd "$root" && pwd)
state=$root/.apt
mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/etc"
: > "$state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$state/etc/sources.list"

apt_here() {
  apt-get -q -y -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::State::lists="$state/lists" \
    -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" -o Dir::Etc::sourcelist="$state/etc/sources.list" \
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o APT::Architecture="$architecture" \
    -o APT::Architectures="$architecture" -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" \
    -o Debug::NoLocking=true "$@"
}

apt_here update
apt_here install --download-only $packages
for package in "$state"/archives/*.deb; do
  dpkg-deb -x "$package" "$root"
done
# What the packages' own scripts would have linked.
for library in blas lapack; do
  for folder in "$root"/usr/lib/*/$library; do
    ln -sf "$library/lib$library.so.3" "$(dirname "$folder")/lib$library.so.3"
  done
done
rm -rf "$state"
echo "$root: Debian $suite, $architecture"
