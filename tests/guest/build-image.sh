#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the guest that end-to-end tests and the demo boot.
#
#   build-image.sh OUTDIR [PROGRAM...]
#
#   OUTDIR/vmlinuz        the distribution's kernel for virtual machines
#   OUTDIR/initrd.gz      its first file system: busybox, kernel modules, tests/guest/init and load.c
#   OUTDIR/usr.squashfs   when given: the programs with the libraries they need, its read-only disk
#
# The agent lies on a disk as it would in any guest: what is not in use of it costs no memory, while
# all of an initial RAM disk always does.
#
# Each is made anew only when something it is made from has changed. The kernel is downloaded once,
# as the distribution's package and with its package manager, and only unpacked, never installed; no
# privileges are needed. AEROSTAT_KERNEL_DIR says where it is kept (default: OUTDIR/kernel).
#
# Tried on Debian 12 (apt). The ways for Ubuntu and for Fedora follow those distributions'
# package names and were not run.

set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"

if [ $# -lt 1 ]; then
    echo "usage: build-image.sh OUTDIR [PROGRAM...]" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
shift
programs=()
for program in "$@"; do
    programs+=("$(realpath "$program")")
done
kernel=$(realpath -m "${AEROSTAT_KERNEL_DIR:-$outdir/kernel}")

# Loaded by the guest's init, list by list; what they depend on is found by modprobe.
base_modules="virtio_pci virtio_console virtio_blk squashfs"
balloon_modules="virtio_balloon"
zram_modules="lzo_rle zram"
host_modules="vhost_net"
# zram's default compressor, which is part of zram itself since Linux 6.12.
optional_module=lzo_rle

say() {
    echo "guest image: $*"
}

fail() {
    echo "guest image: $*" >&2
    exit 1
}

# --- the kernel -----------------------------------------------------------------------------------

# What is downloaded lies where apt's own user cannot go; root's apt would warn of that.
apt_options=(-q)
if [ "$(id -u)" = 0 ]; then
    apt_options+=(-o APT::Sandbox::User=root)
fi

# apt-get with package lists of its own in the folder $1, for when the system's are missing or out
# of date and we are not allowed to, or should not, refresh them.
private_apt_get() {
    local state=$1
    shift
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    apt-get "${apt_options[@]}" -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state" "$@"
}

# The versioned packages behind the meta package $1: the kernel image, and on Ubuntu the modules.
apt_kernel_packages() {
    local image
    image=$(apt-cache "${@:2}" depends "$1" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$image" ] || return 1
    echo "$image"
    apt-cache "${@:2}" depends "$image" | sed -n 's/^ *Depends: \(linux-modules-[0-9].*\)/\1/p'
}

# Downloads the kernel's packages into the current folder.
apt_download() {
    local meta=linux-image-cloud-amd64 packages state=$PWD/apt
    if grep -qi '^ID=ubuntu' /etc/os-release; then
        meta=linux-image-virtual
    fi
    if packages=$(apt_kernel_packages "$meta"); then
        say "downloading $packages"
        # shellcheck disable=SC2086 # a list of names
        apt-get "${apt_options[@]}" download $packages && return
    fi
    say "package lists are missing or old, getting fresh ones (the system's stay as they are)"
    private_apt_get "$state" update
    packages=$(apt_kernel_packages "$meta" -o Dir::State::Lists="$state/lists" \
        -o Dir::Cache="$state") ||
        fail "package $meta not found, or no network"
    say "downloading $packages"
    # shellcheck disable=SC2086
    private_apt_get "$state" download $packages
}

# Unpacks the kernel's packages from the current folder into root/.
download_and_unpack() {
    if command -v apt-get >/dev/null; then
        apt_download
        for package in ./*.deb; do
            dpkg-deb -x "$package" root
        done
    elif command -v dnf >/dev/null; then
        say "downloading kernel-core, kernel-modules-core and kernel-modules"
        dnf -q download --arch "$(uname -m)" kernel-core kernel-modules-core kernel-modules
        for package in ./*.rpm; do
            (cd root && rpm2cpio "../$package" | cpio -idm --quiet)
        done
    else
        fail "cannot get a kernel: neither apt-get nor dnf is here"
    fi
}

# Prints the files that make up the modules given, dependencies first. What is built into the kernel
# needs no file.
module_files() {
    local root=$1 release=$2
    for module in "${@:3}"; do
        modprobe -q -d "$root" -S "$release" --show-depends "$module" ||
            [ "$module" = $optional_module ] || fail "the kernel has no module $module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Copies the modules given from root/ to cut/, with a list of them in loading order.
keep_modules() {
    local list=$1 release=$2 files file
    files=$(module_files root "$release" "${@:3}")
    : >"cut/modules/$list.list"
    for file in $files; do
        # What an earlier list has is loaded already.
        [ ! -e "cut/modules/$(basename "$file")" ] || continue
        cp "$file" cut/modules/
        basename "$file" >>"cut/modules/$list.list"
    done
}

get_kernel() {
    local release
    [ "$(uname -m)" = x86_64 ] || fail "only x86_64 guests are known, this is $(uname -m)"
    mkdir -p "$kernel" "$work"/kernel/{root/lib,cut/modules}
    cd "$work/kernel"
    download_and_unpack
    # Where /usr/lib/modules is the packaged place, modprobe still wants /lib/modules.
    [ -e root/lib/modules ] || ln -s ../usr/lib/modules root/lib/modules
    release=$(basename root/lib/modules/*)
    # busybox's insmod reads no compressed modules.
    find -L root/lib/modules -name '*.ko.xz' -exec xz -d {} +
    find -L root/lib/modules -name '*.ko.zst' -exec zstd -q -d --rm {} +
    depmod -b root "$release"
    # shellcheck disable=SC2086
    keep_modules base "$release" $base_modules
    # shellcheck disable=SC2086
    keep_modules balloon "$release" $balloon_modules
    # shellcheck disable=SC2086
    keep_modules zram "$release" $zram_modules
    # shellcheck disable=SC2086
    keep_modules host "$release" $host_modules
    find root -path '*vmlinuz*' -type f -exec cp {} cut/vmlinuz \;
    [ -s cut/vmlinuz ] || fail "the package has no kernel in it"
    echo "$kernel_inputs" >cut/stamp
    cd "$outdir"
    rm -rf "$kernel/current"
    mv "$work/kernel/cut" "$kernel/current"
    say "kernel $release"
}

# --- the images -----------------------------------------------------------------------------------

# Packs the folder $1 into $2, all files belonging to root.
pack() {
    (cd "$1" && find . -mindepth 1 | sort | cpio -o -H newc --owner=0:0 --quiet) | gzip -n >"$2.new"
    mv "$2.new" "$2"
}

static_busybox() {
    local busybox
    busybox=$(command -v busybox) || fail "busybox is missing (packaging/install-dependencies.sh)"
    if ldd "$busybox" >/dev/null 2>&1; then
        fail "$busybox is linked dynamically, a static one is needed"
    fi
    echo "$busybox"
}

build_initrd() {
    local tree=$1 busybox=$2 applet
    mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,usr,modules}
    ln -s usr/lib usr/lib64 "$tree"
    cp "$busybox" "$tree/bin/busybox"
    for applet in $("$busybox" --list | grep -vx busybox); do
        ln -s busybox "$tree/bin/$applet"
    done
    cp "$kernel"/current/modules/* "$tree/modules/"
    install -m 755 "$here/init" "$tree/init"
    ln -s /init "$tree/bin/start-agent"
    ln -s /init "$tree/bin/stop-agent"
    "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -static -s -o "$tree/bin/load" "$here/load.c"
    pack "$tree" "$outdir/initrd.gz"
}

# Prints the shared libraries the programs need, the loader among them.
libraries_of() {
    ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | sort -u
}

# Uncompressed: under emulation, reading is quicker than unpacking.
build_usr() {
    local tree=$1 library
    install -D -m 755 -t "$tree/sbin" "${programs[@]}"
    for library in $(libraries_of "${programs[@]}"); do
        install -D -m 755 "$library" "$tree/${library#/usr/}"
    done
    mksquashfs "$tree" "$outdir/usr.squashfs.new" -noappend -all-root -noI -noD -noF -noX \
        -quiet -no-progress
    mv "$outdir/usr.squashfs.new" "$outdir/usr.squashfs"
}

# Whether $1 was made from what now hashes to $2.
is_current() {
    [ -s "$1" ] && [ "$(cat "$1.stamp" 2>/dev/null)" = "$2" ]
}

# --- what has to be done --------------------------------------------------------------------------

exec 9>"$outdir/.lock"
flock 9
work=$(mktemp -d "$outdir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

kernel_inputs="$base_modules / $balloon_modules / $zram_modules / $host_modules"
[ "$(cat "$kernel/current/stamp" 2>/dev/null)" = "$kernel_inputs" ] || get_kernel
cmp -s "$kernel/current/vmlinuz" "$outdir/vmlinuz" || cp "$kernel/current/vmlinuz" "$outdir/vmlinuz"

busybox=$(static_busybox)
initrd_inputs=$(cat "$here"/{init,load.c,build-image.sh} "$busybox" "$kernel"/current/modules/* |
    sha256sum)
if ! is_current "$outdir/initrd.gz" "$initrd_inputs"; then
    build_initrd "$work/initrd" "$busybox"
    echo "$initrd_inputs" >"$outdir/initrd.gz.stamp"
    say "initrd $(($(stat -c %s "$outdir/initrd.gz") / 1024)) KiB"
fi

if [ ${#programs[@]} -gt 0 ]; then
    # shellcheck disable=SC2046 # a list of paths without blanks
    usr_inputs=$(cat "$here/build-image.sh" "${programs[@]}" $(libraries_of "${programs[@]}") |
        sha256sum)
    if ! is_current "$outdir/usr.squashfs" "$usr_inputs"; then
        build_usr "$work/usr"
        echo "$usr_inputs" >"$outdir/usr.squashfs.stamp"
        say "disk $(($(stat -c %s "$outdir/usr.squashfs") / 1024)) KiB"
    fi
fi
# Looked at and found right: make need not ask again.
touch "$outdir/initrd.gz"
