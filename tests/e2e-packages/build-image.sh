#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Debian guest in which packages are tried: Debian's smallest system with systemd and
# udev, and with what our packages depend on, as an initial RAM disk.
#
#   build-image.sh OUTDIR KERNEL_DIR DEB_DIR...
#
#   OUTDIR/vmlinuz, OUTDIR/initrd.gz   what tests/support/vm-lab.h looks for
#   KERNEL_DIR                         where tests/guest/build-image.sh has put its kernel
#   DEB_DIR...                         packages, in the guest below /packages/NAME-OF-DEB_DIR
#
# debootstrap needs root, and a minute; its result is kept until other packages are wanted.

set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

if [ $# -lt 3 ]; then
    echo "usage: build-image.sh OUTDIR KERNEL_DIR DEB_DIR..." >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
kernel=$(realpath "$2/current")
shift 2
if [ "$(id -u)" != 0 ]; then
    echo "Debian guest: debootstrap needs root" >&2
    exit 1
fi

# The first of the alternatives that each of our packages depends on. Nothing else is installed, so
# that a dependency that was forgotten is missing in the guest.
dependencies() {
    local deb
    for deb in "$@"; do
        dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/[|(].*//; s/ //g'
    done | sort -u | paste -sd,
}

# Packs the folder $1 uncompressed: quick to write, and quick to read under emulation.
pack() {
    (cd "$1" && find . -mindepth 1 | sort | cpio -o -H newc --quiet) >"$2"
}

# Has the guest serve commands as the other test guest does, and load its kernel's modules.
prepare() {
    local root=$1 release
    rm -rf "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    ln -s lib/systemd/systemd "$root/init"
    release=$(modinfo -F vermagic "$kernel/modules/virtio_console.ko" | cut -d' ' -f1)
    mkdir -p "$root/lib/modules/$release"
    cp "$kernel"/modules/*.ko "$root/lib/modules/$release/"
    touch "$root/lib/modules/$release"/modules.{order,builtin,builtin.modinfo}
    depmod -b "$root" "$release"
    install -m 755 "$here/../guest/init" "$root/usr/sbin/serve-commands"
    install -m 644 "$here/test-shell.service" "$root/etc/systemd/system/"
    systemctl --root="$root" --quiet enable test-shell.service
    # Nobody logs in, and nothing is cleaned or trimmed while a test runs.
    systemctl --root="$root" --quiet mask getty.target apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
}

build_base() {
    echo "Debian guest: debootstrap with $wanted"
    debootstrap --variant=minbase --include="$wanted" bookworm "$work/root" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2 && exit 1; }
    prepare "$work/root"
    pack "$work/root" "$work/base.cpio"
    mv "$work/base.cpio" "$outdir/base.cpio"
    echo "$inputs" >"$outdir/base.stamp"
}

debs=()
for folder in "$@"; do
    debs+=("$folder"/aerostat-agent_*.deb "$folder"/aerostat-controller_*.deb)
done
work=$(mktemp -d "$outdir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

wanted=systemd-sysv,udev,kmod,apparmor,$(dependencies "${debs[@]}")
inputs="$wanted $(cat "$here"/{build-image.sh,test-shell.service} "$here/../guest/init" \
    "$kernel"/modules/*.ko | sha256sum)"
[ "$(cat "$outdir/base.stamp" 2>/dev/null)" = "$inputs" ] || build_base

for folder in "$@"; do
    install -D -m 644 -t "$work/packages/packages/$(basename "$folder")" \
        "$folder"/aerostat-{agent,controller}_*.deb
done
pack "$work/packages" "$work/packages.cpio"
# The kernel unpacks archives that follow each other one after the other.
cat "$outdir/base.cpio" "$work/packages.cpio" >"$work/initrd"
mv "$work/initrd" "$outdir/initrd.gz"
cp "$kernel/vmlinuz" "$outdir/vmlinuz"
