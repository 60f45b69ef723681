#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes a Debian guest with aerostat-agent in it: the recipe, to be taken over into your own.
#
# usage: build-image.sh OUTDIR AGENT_DEB [PACKAGE,...]
#
# OUTDIR/root.raw (ext4, no partitions), vmlinuz and initrd.img are written. Needs root,
# debootstrap and mkfs.ext4. Nobody can log in until you add an account, or cloud-init as PACKAGE.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: build-image.sh OUTDIR AGENT_DEB [PACKAGE,...]" >&2
    exit 2
fi
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
deb=$(realpath "$2")
packages=systemd-sysv,udev,linux-image-cloud-amd64,initramfs-tools${3:+,$3}
root=$(mktemp -d "$outdir/root.XXXXXX")
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include="$packages" bookworm "$root"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
echo aerostat-guest >"$root/etc/hostname"

# No service is started in the chroot; in the guest udev does when the port is there.
cp "$deb" "$root/tmp/agent.deb"
chroot "$root" apt-get -qq update
chroot "$root" apt-get -qq install --no-install-recommends /tmp/agent.deb
rm "$root/tmp/agent.deb"
chroot "$root" apt-get -qq clean

cp -L "$root/vmlinuz" "$outdir/vmlinuz"
cp -L "$root/initrd.img" "$outdir/initrd.img"
rm -f "$outdir/root.raw"
truncate -s 2G "$outdir/root.raw"
mkfs.ext4 -q -d "$root" "$outdir/root.raw"
